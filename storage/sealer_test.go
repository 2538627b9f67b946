package storage

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func masterKey(tb testing.TB, id string) MasterKey {
	tb.Helper()
	key, err := NewMasterKey(id)
	require.NoError(tb, err)
	return key
}

func sealerOf(tb testing.TB, keys ...MasterKey) *Sealer {
	tb.Helper()
	s, err := NewSealer(keys...)
	require.NoError(tb, err)
	return s
}

func TestMasterKeysAreParsed(t *testing.T) {
	t.Parallel()
	zero := base64.StdEncoding.EncodeToString(make([]byte, keyBytes))
	keys, err := ParseMasterKeys("k2:" + zero + ", k1:" + zero)
	require.NoError(t, err)
	require.Equal(t, "k2:"+zero, keys[0].Reveal())
	require.Equal(t, "k1:"+zero, keys[1].Reveal())
	for name, text := range map[string]string{
		"nothing": "", "no id": ":" + zero, "no colon": zero, "no base64": "k1:" + zero[:40] + "!!!!",
		"too short": "k1:" + base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")), "a trailing comma": "k1:" + zero + ",",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseMasterKeys(text)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "aHVudGVyMmh1bnRlcjI", "the key itself")
		})
	}
	_, err = NewSealer()
	require.Error(t, err)
	_, err = NewSealer(keys[0], keys[0])
	require.Error(t, err)
	_, err = NewSealer(MasterKey{})
	require.Error(t, err)
}

func TestAMasterKeyDoesNotPrint(t *testing.T) {
	t.Parallel()
	key := masterKey(t, "k1")
	for _, v := range []any{key, &key, sealerOf(t, key), struct{ k MasterKey }{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
			shown := fmt.Sprintf(verb, v)
			require.NotContains(t, shown, key.Reveal()[3:])
			require.NotContains(t, shown, fmt.Sprintf("%x", key.key[:8]))
			require.NotContains(t, shown, fmt.Sprintf("%v", key.key[:8]))
		}
	}
}

func TestWhatIsSealedOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	s := sealerOf(t, masterKey(t, "k1"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		at := place{exportID: uuid.New(), teamID: rapid.Int64().Draw(t, "team")}
		e, err := s.seal(text, at)
		require.NoError(t, err)
		got, err := s.open(e, at)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
		if len(text) >= 8 {
			require.False(t, bytes.Contains(e.text, text))
		}
		for _, other := range []place{{exportID: uuid.New(), teamID: at.teamID}, {exportID: at.exportID, teamID: at.teamID + 1}} {
			_, err = s.open(e, other)
			require.ErrorIs(t, err, ErrSealed)
			_, err = s.rewrap(e, other)
			require.ErrorIs(t, err, ErrSealed)
		}
	})
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	s := sealerOf(t, masterKey(t, "k1"))
	at := place{exportID: uuid.New(), teamID: 1}
	e, err := s.seal([]byte(`{"password":"x"}`), at)
	require.NoError(t, err)
	flip := func(data []byte, bit int) []byte {
		data = slices.Clone(data)
		data[bit/8] ^= 1 << (bit % 8)
		return data
	}
	for bit := range len(e.text) * 8 {
		_, err := s.open(sealed{text: flip(e.text, bit), dataKey: e.dataKey, keyID: e.keyID}, at)
		require.ErrorIs(t, err, ErrSealed)
	}
	for bit := range len(e.dataKey) * 8 {
		_, err := s.open(sealed{text: e.text, dataKey: flip(e.dataKey, bit), keyID: e.keyID}, at)
		require.ErrorIs(t, err, ErrSealed)
	}
	for _, cut := range [][]byte{nil, e.text[:5], e.text[:len(e.text)-1]} {
		_, err := s.open(sealed{text: cut, dataKey: e.dataKey, keyID: e.keyID}, at)
		require.ErrorIs(t, err, ErrSealed)
	}
	foreign, err := s.seal([]byte("{}"), at)
	require.NoError(t, err)
	_, err = s.open(sealed{text: foreign.text, dataKey: e.dataKey, keyID: e.keyID}, at)
	require.ErrorIs(t, err, ErrSealed)
}

func TestTheSameTextIsNeverSealedTheSameWay(t *testing.T) {
	t.Parallel()
	s := sealerOf(t, masterKey(t, "k1"))
	at := place{exportID: uuid.New(), teamID: 1}
	a, err := s.seal([]byte("{}"), at)
	require.NoError(t, err)
	b, err := s.seal([]byte("{}"), at)
	require.NoError(t, err)
	require.NotEqual(t, a.text, b.text)
	require.NotEqual(t, a.dataKey, b.dataKey)
}

func TestOlderMasterKeysStillOpen(t *testing.T) {
	t.Parallel()
	k1, k2 := masterKey(t, "k1"), masterKey(t, "k2")
	at := place{exportID: uuid.New(), teamID: 1}
	e, err := sealerOf(t, k1).seal([]byte("{}"), at)
	require.NoError(t, err)
	both := sealerOf(t, k2, k1)
	text, err := both.open(e, at)
	require.NoError(t, err)
	require.Equal(t, "{}", string(text))
	fresh, err := both.rewrap(e, at)
	require.NoError(t, err)
	require.Equal(t, "k2", fresh.keyID)
	_, err = sealerOf(t, k2).open(fresh, at)
	require.NoError(t, err)
	_, err = sealerOf(t, k2).open(e, at)
	require.ErrorIs(t, err, ErrSealed)
	require.ErrorContains(t, err, `"k1"`)
	_, err = sealerOf(t, masterKey(t, "k1")).open(e, at)
	require.ErrorIs(t, err, ErrSealed, "the same id, another key")
}
