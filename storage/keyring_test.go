package storage_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/storage"
)

// reversing is a KMS whose secret is to read backwards.
type reversing struct{ err error }

func (k reversing) Unwrap(_ context.Context, id string, wrapped []byte) ([]byte, error) {
	plain := slices.Clone(wrapped)
	slices.Reverse(plain)
	if id == "short" {
		plain = plain[1:]
	}
	return plain, k.err
}

func TestAKeyRingHoldsKeysInTheClearAndWrapped(t *testing.T) {
	t.Parallel()
	clear, hidden := masterKey(t, "k1").Reveal(), masterKey(t, "k2").Reveal()
	plain, err := base64.StdEncoding.DecodeString(hidden[3:])
	require.NoError(t, err)
	wrapped, _ := reversing{}.Unwrap(t.Context(), "", plain)
	text := base64.StdEncoding.EncodeToString(wrapped)

	ring, err := storage.ParseKeyRing("k2:kms:" + text + "\n" + clear + "\n")
	require.NoError(t, err)
	require.True(t, ring.Wrapped())
	keys, err := ring.Open(t.Context(), reversing{})
	require.NoError(t, err)
	require.Equal(t, hidden, keys[0].Reveal())
	require.Equal(t, clear, keys[1].Reveal())

	_, err = ring.Open(t.Context(), nil)
	require.ErrorContains(t, err, `master key "k2" is wrapped`)
	_, err = ring.Open(t.Context(), reversing{err: errors.New("access denied")})
	require.ErrorContains(t, err, "access denied")
	ring, err = storage.ParseKeyRing("short:kms:" + text)
	require.NoError(t, err)
	_, err = ring.Open(t.Context(), reversing{})
	require.ErrorContains(t, err, "31 bytes")

	ring, err = storage.ParseKeyRing(clear)
	require.NoError(t, err)
	require.False(t, ring.Wrapped())
	keys, err = ring.Open(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, keys, 1)
}

func TestAKeyRingThatIsMalformedIsRefusedWithoutAQuote(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "a comma": ",", "a blank entry": " ,k1:AAAA", "no base64": "k1:kms:" + planted, "nothing wrapped": "k1:kms:",
		"no id": ":kms:AAAA", "no key": planted, "too short": "k1:AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := storage.ParseKeyRing(text)
			require.Error(t, err)
			require.NotContains(t, err.Error(), planted)
		})
	}
}
