package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/secret"
)

const planted = "pl4nted-plaintext"

type credentials struct {
	User     string
	Password secret.String
	hidden   secret.String
}

func TestASecretNeverShows(t *testing.T) {
	t.Parallel()
	s := secret.New(planted)
	c := credentials{User: "u", Password: s, hidden: s}
	values := map[string]any{
		"the secret": s, "a pointer": &s, "a struct": c, "a pointer to a struct": &c,
		"a slice": []secret.String{s}, "a map": map[string]secret.String{"k": s}, "an any": []any{s, c},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
				require.NotContains(t, fmt.Sprintf(verb, v), planted, verb)
				require.NotContains(t, fmt.Sprintf(verb, v), fmt.Sprintf("%x", planted), verb)
			}
			encoded, err := json.Marshal(v)
			require.NoError(t, err)
			require.NotContains(t, string(encoded), planted)
			markup, _ := xml.Marshal(v) // maps have no XML form; what matters is what came out
			require.NotContains(t, string(markup), planted)
			var text, lines bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("A line.", "value", v)
			slog.New(slog.NewJSONHandler(&lines, nil)).Info("A line.", "value", v)
			require.NotContains(t, text.String(), planted)
			require.NotContains(t, lines.String(), planted)
		})
	}
}

func TestASetSecretShowsAsRedacted(t *testing.T) {
	t.Parallel()
	s := secret.New(planted)
	require.Equal(t, "***", fmt.Sprint(s))
	require.Equal(t, "***", fmt.Sprintf("%#v", s))
	encoded, err := json.Marshal(map[string]any{"password": s, "empty": secret.String{}})
	require.NoError(t, err)
	require.JSONEq(t, `{"password":"***","empty":""}`, string(encoded))
	_, err = s.Value()
	require.ErrorIs(t, err, secret.ErrInTheClear)
}

func TestASecretDecodesAndReveals(t *testing.T) {
	t.Parallel()
	var c credentials
	require.NoError(t, json.Unmarshal([]byte(`{"User":"u","Password":"`+planted+`"}`), &c))
	require.Equal(t, planted, c.Password.Reveal())
	require.True(t, c.Password.Equal(secret.New(planted)))
	require.False(t, c.Password.Equal(secret.New("other")))
	require.NoError(t, json.Unmarshal([]byte(`{"Password":null}`), &c))
	require.True(t, c.Password.IsZero())

	err := json.Unmarshal([]byte(`{"Password":["`+planted+`"]}`), &c)
	require.Error(t, err)
	require.NotContains(t, err.Error(), planted)
}
