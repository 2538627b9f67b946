package encode_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/encode"
)

// TestFilesAreRolledNearTheirLimit: whoever ends a file when its size has passed a limit gets files of about that size,
// also when the limit is small.
func TestFilesAreRolledNearTheirLimit(t *testing.T) {
	t.Parallel()
	rows := manyEvents(100_000)
	const limit = 1 << 20
	for _, format := range encode.Formats() {
		for _, codec := range append(encode.Compressions(format), encode.None) {
			t.Run(string(format)+" "+string(codec), func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				e, err := encode.New(&b, rows.Schema(), encode.Options{Format: format, Compression: codec})
				require.NoError(t, err)
				for from := int64(0); e.Size() < limit; from += 1000 {
					part := rows.NewSlice(from, from+1000)
					require.NoError(t, e.Write(part))
					part.Release()
				}
				require.NoError(t, e.Close())
				step := 0 // of a thousand rows, after which a writer looks
				if codec == encode.None {
					step = 500_000
				}
				require.InEpsilon(t, limit+step/2, b.Len(), 0.15+float64(step)/2/limit)
			})
		}
	}
}
