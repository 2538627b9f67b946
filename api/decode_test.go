package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/internal/app"
)

func TestParseJSONKeepsNumbersExact(t *testing.T) {
	t.Parallel()
	value, err := parseJSON([]byte(` {"a": 9223372036854775807, "b": -0.5, "c": [1e3, true, null, "é\u0041"], "d": {}} `))
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"a": int64(9223372036854775807), "b": -0.5, "c": []any{1e3, true, nil, "éA"}, "d": map[string]any{},
	}, value)
}

func TestParseJSONRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text, code, attr, detail string
	}{
		"nothing":                     {``, codeParse, "", "JSON parse error - unexpected end of the text"},
		"a cut object":                {`{"a": `, codeParse, "", "JSON parse error - unexpected end of the text"},
		"a cut list":                  {`[1`, codeParse, "", "JSON parse error - unexpected end of the text"},
		"no JSON at all":              {`name=x`, codeParse, "", "JSON parse error - invalid character"},
		"a closing brace alone":       {`}`, codeParse, "", "JSON parse error - "},
		"a trailing comma":            {`{"a":1,}`, codeParse, "", "JSON parse error - "},
		"a number as a name":          {`{1:1}`, codeParse, "", "JSON parse error - "},
		"NaN":                         {`{"a": NaN}`, codeParse, "", "JSON parse error - "},
		"two values":                  {`{} {}`, codeParse, "", "JSON parse error - extra data"},
		"an object and rubbish":       {`{}x`, codeParse, "", "JSON parse error - extra data"},
		"a name twice":                {`{"a":1,"a":2}`, codeParse, "", `JSON parse error - the name "a" repeats`},
		"a name twice deep inside":    {`{"a":[{"b":1,"\u0062":2}]}`, codeParse, "", `JSON parse error - the name "b" repeats`},
		"a control character":         {"{\"a\":\"\x01\"}", codeParse, "", "JSON parse error - "},
		"text that is not UTF-8":      {"{\"a\":\"\xff\"}", codeParse, "", "JSON parse error - the text is not valid UTF-8"},
		"a NUL in a value":            {`{"a":{"b":["x","\u0000"]}}`, codeNul, "a__b__1", "Null characters are not allowed."},
		"a NUL in a name":             {`{"a":{"\u0000":1}}`, codeNul, "a", "Null characters are not allowed."},
		"an integer that is too big":  {`{"a":9223372036854775808}`, codeInvalid, "a", "This number is out of range."},
		"a number that is too big":    {`{"a":1e400}`, codeInvalid, "a", "This number is out of range."},
		"lists nested without end":    {strings.Repeat("[", 100_000), codeParse, "", "JSON parse error - nested deeper than 32 levels"},
		"objects nested without end":  {strings.Repeat(`{"a":`, 100_000), codeParse, "", "JSON parse error - nested deeper than 32 levels"},
		"one level more than allowed": {strings.Repeat("[", 33) + strings.Repeat("]", 33), codeParse, "", "JSON parse error - nested deeper"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseJSON([]byte(tt.text))
			require.Error(t, err)
			r := refusalOf(err)
			require.Equal(t, http.StatusBadRequest, r.status)
			require.Equal(t, tt.code, r.Code)
			require.Contains(t, r.Detail, tt.detail)
			attr := ""
			if r.Attr != nil {
				attr = *r.Attr
			}
			require.Equal(t, tt.attr, attr)
		})
	}
}

func TestParseJSONAcceptsTheDeepestNesting(t *testing.T) {
	t.Parallel()
	_, err := parseJSON([]byte(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)))
	require.NoError(t, err)
}

// What encoding/json writes, we read back.
func TestParseJSONReadsWhatIsWritten(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[^\x00]{0,8}`)
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), toAny[bool]), rapid.Map(rapid.Int64(), toAny[int64]), rapid.Map(text, toAny[string]),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOfN(text, rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(leaf, 0, 4), toAny[[]any]), rapid.Map(rapid.MapOfN(text, leaf, 0, 4), toAny[map[string]any]),
		), 0, 6).Draw(t, "object")
		written, err := json.Marshal(want)
		require.NoError(t, err)
		got, err := parseJSON(written)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func toAny[T any](v T) any { return v }

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,2.5,"x",null,true]}`, `{"a":1,"a":2}`, "\xff", `{"\u0000":0}`, `[[[[`, `{"a":1e999}`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := parseJSON(text)
		if err != nil {
			require.Equal(t, http.StatusBadRequest, refusalOf(err).status)
			return
		}
		require.True(t, json.Valid(text), "accepted what encoding/json refuses")
		_, err = json.Marshal(value)
		require.NoError(t, err)
	})
}

// Reading a draft from any object either works or tells a problem.
func FuzzDraft(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"x","destination":{"type":"File","config":{}}}`, `{"name":1}`, `{"name":"x","destination":[]}`,
		`{"name":"x","destination":{"type":{},"config":{"a":[]},"integration":true},"interval":[],"filters":{},"offset_day":1e300}`,
		`{"name":"x","destination":{"type":"File","config":{}},"start_at":"0001-01-01T00:00:00+14:00","paused":"true"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := parseJSON(text)
		fields, ok := value.(map[string]any)
		if err != nil || !ok {
			return
		}
		form := newForm(fields)
		draft := draftOf(form, caller{})
		if err := form.problem(); err != nil {
			p, ok := errors.AsType[*app.Problem](err)
			require.True(t, ok)
			require.NotEmpty(t, p.Detail)
			return
		}
		require.NotEmpty(t, draft.Name)
		require.NotNil(t, draft.Destination.Config)
	})
}
