package tables_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"tranche/destinations/tables"
)

func TestJSONLosesOnlyWhatDatabasesRefuse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a": 1}`:                           `{"a": 1}`,
		`{"a":"caf\u00e9 \ud83d\ude00"}`:     `{"a":"caf\u00e9 \ud83d\ude00"}`,
		`{"a":"x\u0000y"}`:                   `{"a":"xy"}`,
		`{"\u0000":1}`:                       `{"":1}`,
		`"\\u0000"`:                          `"\\u0000"`,
		`"\\\u0000"`:                         `"\\"`,
		`"\ud83d"`:                           `""`,
		`"\ude00\ud83d"`:                     `""`,
		`"\ud83d\ud83d\ude00\u0041"`:         `"\ud83d\ude00\u0041"`,
		`"\ud83dx\ude00"`:                    `"x"`,
		"\"\xff\"":                           "\"\uFFFD\"",
		`1e5`:                                `1e5`,
		`[1e999,-1E+0500,1e1000,1e-99999,2]`: `[1e999,-1E+0500,"1e1000","1e-99999",2]`,
		`{"e1":"1e99999"}`:                   `{"e1":"1e99999"}`,
		`{"broken`:                           `"{\"broken"`,
		"a\x00b\n":                           `"ab\u000a"`,
	} {
		var c tables.Cleaner
		got := string(c.JSON([]byte("before "), text))
		require.Equal(t, "before "+want, got)
		require.Equal(t, want != text, c.Changed == 1, "%s: %d", text, c.Changed)
	}
}

func TestJSONThatIsTooDeepBecomesAString(t *testing.T) {
	t.Parallel()
	for depth, kept := range map[int]bool{1000: true, 1001: false, 50_000: false} {
		var c tables.Cleaner
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		require.Equal(t, kept, string(c.JSON(nil, text)) == text, depth)
	}
	var c tables.Cleaner
	wide := "[" + strings.Repeat("[],", 5000) + `"[[["]`
	require.Equal(t, wide, string(c.JSON(nil, wide)))
}

func TestTextLosesZeroBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "plain ☃": "plain ☃", "a\x00b": "ab", "\xffz": "\uFFFDz"} {
		var c tables.Cleaner
		require.Equal(t, want, string(c.Text(nil, text)))
		require.Equal(t, want != text, c.Changed == 1)
	}
}

func TestAMemberOfTextLosesItsQuotes(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"plain"`: "plain", `"a\"b\\c\/d\n\t"`: "a\"b\\c/d\n\t", `"caf\u00e9 \ud83d\ude00"`: "café 😀", `"x\u0000y\ud83d"`: "xy", `17`: "17", `""`: "",
	} {
		var c tables.Cleaner
		require.Equal(t, want, string(c.Unquote(nil, value)))
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"\u0000\ud800"}`, "\xff", `[1e5000,"\\u0000"]`, `"\ud83d\ude00"`, `{"a":[{}]} `} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c tables.Cleaner
		got := c.JSON(nil, text)
		require.True(t, json.Valid(got), "%q", got)
		require.True(t, utf8.Valid(got), "%q", got)
		again := c.JSON(nil, string(got))
		require.Equal(t, string(got), string(again), "what was made fit stays as it is")
		if !strings.Contains(text, `\`) && json.Valid([]byte(text)) && utf8.ValidString(text) && !strings.ContainsAny(text, "eE") && len(text) < 1000 {
			require.Equal(t, text, string(got))
		}
	})
}
