package encode_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/encode"
)

func TestMembersOfAnObjectAreFoundAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{}`: nil, ` { } `: nil, `[{"a":1}]`: nil, `1`: nil, ``: nil,
		`{"a":1}`:                      {"a", "1"},
		` {"a" : {"b":"}"} , "c":[ ]}`: {"a", `{"b":"}"}`, "c", "[ ]"},
		`{"\"q":"x\"y","n":null,"t":true ,"f":-1.5e3}`: {`\"q`, `"x\"y"`, "n", "null", "t", "true", "f", "-1.5e3"},
	} {
		var got []string
		encode.Members(text, func(key, value string) bool {
			got = append(got, key, value)
			return true
		})
		require.Equal(t, want, got, text)
	}
}

func TestMembersAreThoseThatTheStandardLibraryReads(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(), rapid.Float64().AsAny(),
		rapid.SliceOf(rapid.String()).AsAny(), rapid.MapOf(rapid.String(), rapid.String()).AsAny())
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOf(rapid.String(), value).Draw(t, "object")
		text, err := json.Marshal(object)
		require.NoError(t, err)
		var raw map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(text, &raw))
		got := map[string]json.RawMessage{}
		encode.Members(string(text), func(key, value string) bool {
			var name string
			require.NoError(t, json.Unmarshal([]byte(`"`+key+`"`), &name))
			got[name] = json.RawMessage(value)
			return true
		})
		require.Equal(t, raw, got)
	})
}
