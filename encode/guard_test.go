package encode

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzGuard compares the guard with encoding/json, whatever a column holds.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `{"a":[1,{"b":null}],"c":"\u00e9\n"}`, "{\n\"a\" : 1\n}", `-0.1e+5`, `01`, `"a`, `[1,]`, `{"a"}`, `tru`,
		"\"\xff\"", `"\ud800"`, strings.Repeat("[", 100) + strings.Repeat("]", 100), " \t\r\n1", `"aaaaaaaaaaaa\`, "\"\x7f\x1f\"",
	} {
		f.Add(seed)
	}
	g := &guard{}
	f.Fuzz(func(t *testing.T, text string) {
		got := g.append(nil, text)
		if bytes.ContainsAny(got, "\n\r") {
			t.Fatalf("a line break in %q, from %q", got, text)
		}
		if !json.Valid(got) {
			t.Fatalf("%q is not JSON, from %q", got, text)
		}
		if text == "" {
			return
		}
		want := appendString(nil, text)
		if json.Valid([]byte(text)) {
			var b bytes.Buffer
			if err := json.Compact(&b, appendUTF8(nil, text)); err != nil {
				t.Fatal(err)
			}
			want = b.Bytes()
			b2 := bytes.Buffer{}
			if err := json.Compact(&b2, got); err != nil {
				t.Fatal(err)
			}
			got = b2.Bytes()
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, want %q", text, got, want)
		}
	})
}
