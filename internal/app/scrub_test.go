package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretsAreScrubbed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"a long one, wherever it is":         {"at xs3cr3t-pass9 of", []string{"s3cr3t-pass"}, "at x***9 of"},
		"a user whose name is in words":      {"The database of the user data refused data: metadata", []string{"data"}, "The database of the user *** refused ***: metadata"},
		"at both ends, and in marks":         {"u says \"u\" and (u), u", []string{"u"}, "*** says \"***\" and (***), ***"},
		"one that repeats itself":            {"aaa aa", []string{"aa"}, "aaa ***"},
		"one that ends in a mark":            {"xa! a!x", []string{"a!"}, "xa! ***x"},
		"one that has letters of its own":    {"über ü ü", []string{"ü"}, "über *** ***"},
		"one that is a part of another":      {"is long-secret or secret", []string{"secret", "long-secret"}, "is *** or ***"},
		"one that is not there, and nothing": {"ab", []string{"x", ""}, "ab"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, scrub(tt.text, tt.secrets))
		})
	}
}
