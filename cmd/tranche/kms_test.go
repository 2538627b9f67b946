package main

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// script makes a program.
func script(t *testing.T, body string) string {
	t.Helper()
	path := written(t, "#!/bin/sh\n"+body+"\n")
	require.NoError(t, os.Chmod(path, 0o700))
	return path
}

func TestAProgramOpensWrappedMasterKeys(t *testing.T) {
	t.Parallel()
	plain := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	wrapped := base64.StdEncoding.EncodeToString([]byte(plain)) // base64 once more is all that this KMS does
	kms := script(t, `[ "$1" = --decrypt ] && [ "$2" = k1 ] && base64 -d`)
	c, err := readConfig(from(map[string]string{
		"TRANCHE_MASTER_KEYS": "k1:kms:" + wrapped, "TRANCHE_KMS_COMMAND": kms + " --decrypt",
	}))
	require.NoError(t, err)
	keys, err := c.KeyRing.Open(t.Context(), c.kms())
	require.NoError(t, err)
	require.Equal(t, "k1:"+plain, keys[0].Reveal())

	for name, tt := range map[string]struct{ program, words string }{
		"it fails":              {script(t, "cat >/dev/null; echo access denied >&2; exit 3"), "access denied"},
		"it prints no base64":   {script(t, "cat >/dev/null; echo "+planted+"'!'"), "is not base64"},
		"it prints a short key": {script(t, "cat >/dev/null; echo AAAA"), "3 bytes"},
		"it prints for ever":    {script(t, "cat >/dev/null; yes"), "prints too much"},
		"it is not there":       {"/nowhere/kms", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := readConfig(from(map[string]string{"TRANCHE_MASTER_KEYS": "k1:kms:" + wrapped, "TRANCHE_KMS_COMMAND": tt.program}))
			require.NoError(t, err)
			_, err = c.KeyRing.Open(t.Context(), c.kms())
			require.ErrorContains(t, err, tt.words)
			require.NotContains(t, err.Error(), planted)
		})
	}
	_, err = readConfig(from(map[string]string{"TRANCHE_MASTER_KEYS": "k1:kms:" + wrapped}))
	require.ErrorContains(t, err, "TRANCHE_KMS_COMMAND: must be set")
}
