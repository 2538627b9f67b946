package service

import (
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"tranche/storage"
)

func codecKey(t *testing.T, id string) storage.MasterKey {
	t.Helper()
	key, err := storage.NewMasterKey(id)
	require.NoError(t, err)
	return key
}

func codecOf(t *testing.T, keys ...storage.MasterKey) converter.DataConverter {
	t.Helper()
	codec, err := NewCodec(keys)
	require.NoError(t, err)
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec)
}

func TestPayloadsAreSealedAndOpened(t *testing.T) {
	t.Parallel()
	k1, k2 := codecKey(t, "k1"), codecKey(t, "k2")
	old := codecOf(t, k1)
	payloads, err := old.ToPayloads(map[string]string{"a": "planted"}, 7)
	require.NoError(t, err)
	require.NotContains(t, payloads.String(), "planted")
	require.Contains(t, payloads.String(), "k1")

	read := func(c converter.DataConverter, p *commonpb.Payloads) (map[string]string, error) {
		var (
			text   map[string]string
			number int
		)
		return text, c.FromPayloads(p, &text, &number)
	}
	for name, c := range map[string]converter.DataConverter{"the same key": old, "a newer key in front": codecOf(t, k2, k1)} {
		_, err := read(c, payloads)
		require.NoError(t, err, name)
	}
	_, err = read(codecOf(t, k2), payloads)
	require.ErrorContains(t, err, `"k1", which is not here`)
	_, err = read(codecOf(t, codecKey(t, "k1")), payloads)
	require.ErrorContains(t, err, "another key of the same id")
	payloads.Payloads[0].Data[20] ^= 1
	_, err = read(old, payloads)
	require.ErrorContains(t, err, "changed")

	plain, err := converter.GetDefaultDataConverter().ToPayloads(map[string]string{"a": "in flight"}, 7)
	require.NoError(t, err)
	_, err = read(old, plain)
	require.NoError(t, err, "what was written before the codec was turned on")
	_, err = NewCodec(nil)
	require.Error(t, err)
}
