package encode_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/encode"
	"tranche/query"
)

// manyEvents makes rows like a product's events: ids that do not repeat, a few names, JSON of some hundred bytes.
func manyEvents(n int) arrow.RecordBatch {
	isJSON := arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "uuid", Type: arrow.BinaryTypes.String},
		{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "_inserted_at", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "event", Type: arrow.BinaryTypes.String},
		{Name: "properties", Type: arrow.BinaryTypes.String, Metadata: isJSON},
		{Name: "distinct_id", Type: arrow.BinaryTypes.String},
		{Name: "person_properties", Type: arrow.BinaryTypes.String, Metadata: isJSON, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"$pageview", "$autocapture", "sign up", "purchase"}
	text := func(i int, s string) { b.Field(i).(*array.StringBuilder).Append(s) }
	for i := range n {
		at := arrow.Timestamp(1_700_000_000_000_000 + int64(i)*1_333_337)
		text(0, fmt.Sprintf("%016x-%016x", r.Uint64(), r.Uint64()))
		b.Field(1).(*array.TimestampBuilder).Append(at)
		b.Field(2).(*array.TimestampBuilder).Append(at + 5_000_000)
		text(3, names[r.IntN(len(names))])
		text(4, fmt.Sprintf(`{"$current_url":"https://example.com/products/%d?ref=%x","$browser":"Firefox","$os":"Linux","$screen_width":%d,`+
			`"price":%.2f,"nested":{"a":[1,2,3],"b":null,"c":"it said \"hello\""},"$session_id":"%016x%016x","$lib":"web","$lib_version":"1.2.3"}`,
			r.IntN(5000), r.Uint32(), 800+r.IntN(2000), r.Float64()*100, r.Uint64(), r.Uint64()))
		text(5, fmt.Sprintf("user-%d", r.IntN(n/4+1)))
		if i%3 == 0 {
			b.Field(6).(*array.StringBuilder).AppendNull()
		} else {
			text(6, fmt.Sprintf(`{"email":"someone%d@example.com","plan":"free","seats":%d}`, r.IntN(1000), r.IntN(50)))
		}
	}
	return b.NewRecordBatch()
}

func benchmark(b *testing.B, o encode.Options) {
	b.Helper()
	rows := manyEvents(8192)
	plain, err := encode.New(io.Discard, rows.Schema(), encode.Options{Format: encode.JSONLines})
	require.NoError(b, err)
	require.NoError(b, plain.Write(rows))
	b.SetBytes(plain.Size()) // of JSON, whatever the format, so that MB/s compare
	e, err := encode.New(io.Discard, rows.Schema(), o)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, e.Write(rows))
	}
	b.ReportMetric(float64(b.N)*float64(rows.NumRows())/b.Elapsed().Seconds(), "rows/s")
	require.NoError(b, e.Close())
}

func BenchmarkJSONLines(b *testing.B) {
	benchmark(b, encode.Options{Format: encode.JSONLines})
}

func BenchmarkJSONLinesGzip(b *testing.B) {
	benchmark(b, encode.Options{Format: encode.JSONLines, Compression: encode.Gzip})
}

func BenchmarkJSONLinesBrotli(b *testing.B) {
	benchmark(b, encode.Options{Format: encode.JSONLines, Compression: encode.Brotli})
}

func BenchmarkCSV(b *testing.B) {
	benchmark(b, encode.Options{Format: encode.CSV})
}

func BenchmarkParquetZstd(b *testing.B) {
	benchmark(b, encode.Options{Format: encode.Parquet, Compression: encode.Zstd})
}

// TestRowsCostNoAllocation holds the hot path to its promise.
func TestRowsCostNoAllocation(t *testing.T) { //nolint:paralleltest // AllocsPerRun forbids it
	rows := manyEvents(4000)
	for _, o := range []encode.Options{
		{Format: encode.JSONLines},
		{Format: encode.JSONLines, Compression: encode.Gzip},
		{Format: encode.CSV},
	} {
		e, err := encode.New(io.Discard, rows.Schema(), o)
		require.NoError(t, err)
		for range 5 { // until all that is used again is there
			require.NoError(t, e.Write(rows))
		}
		perBatch := testing.AllocsPerRun(5, func() { require.NoError(t, e.Write(rows)) })
		require.Less(t, perBatch, 20.0, "%v", o)
	}
}
