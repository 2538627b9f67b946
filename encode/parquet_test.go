package encode_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	pqfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	parquetgo "github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"tranche/encode"
)

// column makes a column of n values; nil = null.
func column[B array.Builder, T any](kind arrow.DataType, n int, add func(B, T), value func(i int) *T) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, kind)
	defer b.Release()
	for i := range n {
		if v := value(i); v == nil {
			b.AppendNull()
		} else {
			add(b.(B), *v)
		}
	}
	return b.NewArray()
}

// longTable has columns that make a writer do all that it can: dictionaries that pay, that do not, that overflow in the
// middle of a group, nulls here and there, values longer than a page, and types that arrow-go writes.
func longTable(n int) arrow.RecordBatch {
	r := rand.New(rand.NewPCG(7, 7))
	text := func(value func(i int) *string) arrow.Array {
		return column(arrow.BinaryTypes.String, n, (*array.StringBuilder).Append, value)
	}
	sometimes := func(i, every int, s string) *string {
		if i%every == 0 {
			return nil
		}
		return &s
	}
	columns := map[string]arrow.Array{
		"unique":    text(func(i int) *string { return sometimes(i, n+1, fmt.Sprintf("%08x", r.Uint32())) }),
		"few":       text(func(i int) *string { return sometimes(i, 5, []string{"a", "bb", "", "ccc"}[r.IntN(4)]) }),
		"constant":  text(func(i int) *string { return sometimes(i, n+1, "same") }),
		"overflows": text(func(i int) *string { return sometimes(i, 9, fmt.Sprint("value ", r.IntN(1+i/2))) }),
		"nothing":   text(func(int) *string { return nil }),
		"long": text(func(i int) *string {
			if i%40_000 == 17 {
				return sometimes(1, 2, strings.Repeat("long ", 500_000))
			}
			return sometimes(i, 3, "")
		}),
		"integer": column(arrow.PrimitiveTypes.Int64, n, (*array.Int64Builder).Append, func(i int) *int64 {
			v := int64(i) * 37
			if i%3 == 1 {
				return nil
			}
			return &v
		}),
		"float": column(arrow.PrimitiveTypes.Float64, n, (*array.Float64Builder).Append, func(i int) *float64 {
			v := []float64{math.NaN(), -1.5, math.Copysign(0, -1), float64(i)}[i%4]
			return &v
		}),
		"flag": column(arrow.FixedWidthTypes.Boolean, n, (*array.BooleanBuilder).Append, func(i int) *bool {
			v := i%7 < 3
			return &v
		}),
	}
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, name := range []string{"flag", "unique", "few", "constant", "overflows", "nothing", "long", "integer", "float"} {
		fields = append(fields, arrow.Field{Name: name, Type: columns[name].DataType(), Nullable: true})
		arrays = append(arrays, columns[name])
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(n))
}

// cut cuts rows into batches of random lengths.
func cut(r *rand.Rand, rows arrow.RecordBatch, most int) []arrow.RecordBatch {
	var parts []arrow.RecordBatch
	for from := int64(0); from < rows.NumRows(); {
		to := min(from+1+r.Int64N(int64(most)), rows.NumRows())
		parts = append(parts, rows.NewSlice(from, to))
		from = to
	}
	return parts
}

func TestParquetOfManyPagesAndGroups(t *testing.T) {
	t.Parallel()
	rows := longTable(150_000)
	o := encode.Options{Format: encode.Parquet, Compression: encode.Snappy}
	body := encoded(t, o, cut(rand.New(rand.NewPCG(1, 1)), rows, 5000)...)
	requireSameRows(t, rows, readParquet(t, body))

	f, err := parquetgo.OpenFile(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	require.Len(t, f.RowGroups(), 2)
	require.Equal(t, int64(122_880), f.RowGroups()[0].NumRows())
	requireReadable(t, rows, f)
}

// requireSameRows compares rows by their JSON, column by column.
func requireSameRows(t *testing.T, want arrow.RecordBatch, got []arrow.RecordBatch) {
	t.Helper()
	lines := func(batches ...arrow.RecordBatch) []byte {
		return encoded(t, encode.Options{Format: encode.JSONLines}, batches...)
	}
	for i, f := range want.Schema().Fields() {
		one := arrow.NewSchema([]arrow.Field{f}, nil)
		var parts []arrow.RecordBatch
		for _, b := range got {
			parts = append(parts, array.NewRecordBatch(one, []arrow.Array{b.Column(i)}, b.NumRows()))
		}
		whole := lines(array.NewRecordBatch(one, []arrow.Array{want.Column(i)}, want.NumRows()))
		require.True(t, bytes.Equal(whole, lines(parts...)), "column %s", f.Name)
	}
}

// requireReadable reads texts and nulls with a second reader.
func requireReadable(t *testing.T, rows arrow.RecordBatch, f *parquetgo.File) {
	t.Helper()
	columns := make([]int, rows.NumCols())
	values := make([]parquetgo.Value, 1000)
	for _, group := range f.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			pages := chunk.Pages()
			for {
				page, err := pages.ReadPage()
				if err != nil {
					break
				}
				in := page.Values()
				for {
					n, err := in.ReadValues(values)
					for _, v := range values[:n] {
						want := rows.Column(i)
						require.Equal(t, want.IsNull(columns[i]), v.IsNull())
						if text, ok := want.(*array.String); ok && !v.IsNull() && text.Value(columns[i]) != string(v.ByteArray()) {
							t.Fatalf("column %d, row %d: got %.40q", i, columns[i], v.ByteArray())
						}
						columns[i]++
					}
					if err != nil {
						break
					}
				}
			}
			require.NoError(t, pages.Close())
		}
	}
	for i := range columns {
		require.Equal(t, int(rows.NumRows()), columns[i])
	}
}

// TestFilesDependOnRowsOnly: checksums and the places where files are cut must not depend on how a source batches.
func TestFilesDependOnRowsOnly(t *testing.T) {
	t.Parallel()
	rows := longTable(130_000)
	for _, o := range []encode.Options{
		{Format: encode.Parquet, Compression: encode.Zstd},
		{Format: encode.JSONLines, Compression: encode.Gzip},
		{Format: encode.JSONLines, Compression: encode.Brotli},
		{Format: encode.CSV, Compression: encode.Gzip},
	} {
		t.Run(string(o.Format)+" "+string(o.Compression), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, 4))
			whole := encoded(t, o, rows)
			require.True(t, bytes.Equal(whole, encoded(t, o, cut(r, rows, 20_000)...)))
			require.True(t, bytes.Equal(whole, encoded(t, o, cut(r, rows, 999)...)))
		})
	}
}

func TestParquetStatistics(t *testing.T) {
	t.Parallel()
	rows := longTable(130_000)
	r, err := pqfile.NewParquetReader(bytes.NewReader(encoded(t, encode.Options{Format: encode.Parquet}, rows)))
	require.NoError(t, err)
	for name, want := range map[string]struct {
		min, max string
		nulls    int64
	}{
		"few":     {"", "ccc", 122_880 / 5},
		"nothing": {"none", "none", 122_880},
		"long":    {"none", "none", 40_960 - 1}, // too long
		"integer": {number(0), number(122_879 * 37), 40_960},
		"float":   {float(-1.5), float(122_879), 0},
	} {
		stats, encodings := statisticsOf(t, r, rows.Schema().FieldIndices(name)[0])
		require.Equal(t, want.nulls, stats.NullCount(), name)
		require.Equal(t, want.min != "none", stats.HasMinMax(), name)
		if stats.HasMinMax() {
			require.Equal(t, want.min, string(stats.EncodeMin()), name)
			require.Equal(t, want.max, string(stats.EncodeMax()), name)
		}
		require.Equal(t, name == "few", len(encodings) > 2, "%s: %v", name, encodings)
	}
}

func number(v int64) string  { return string(binary.LittleEndian.AppendUint64(nil, uint64(v))) }
func float(v float64) string { return number(int64(math.Float64bits(v))) }

func statisticsOf(t *testing.T, r *pqfile.Reader, column int) (metadata.TypedStatistics, []parquet.Encoding) {
	t.Helper()
	chunk, err := r.MetaData().RowGroup(0).ColumnChunk(column)
	require.NoError(t, err)
	stats, err := chunk.Statistics()
	require.NoError(t, err)
	return stats, chunk.Encodings()
}

func TestParquetTypes(t *testing.T) {
	t.Parallel()
	s := arrow.NewSchema([]arrow.Field{
		{Name: "json", Type: arrow.BinaryTypes.String, Metadata: jsonMetadata()},
		{Name: "text", Type: arrow.BinaryTypes.LargeString},
		{Name: "seconds", Type: &arrow.TimestampType{Unit: arrow.Second, TimeZone: "Asia/Tokyo"}},
		{Name: "local", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	r, err := pqfile.NewParquetReader(bytes.NewReader(encoded(t, encode.Options{Format: encode.Parquet}, b.NewRecordBatch())))
	require.NoError(t, err)
	instant := schema.NewTimestampLogicalType(true, schema.TimeUnitMicros)
	for i, want := range []schema.LogicalType{schema.JSONLogicalType{}, schema.StringLogicalType{}, instant, instant} {
		got := r.MetaData().Schema.Column(i)
		require.True(t, want.Equals(got.LogicalType()), "%s is %s", got.Name(), got.LogicalType())
		require.Equal(t, int16(1), got.MaxDefinitionLevel())
	}
}

// TestGivenUpFilesLeaveNothingBehind: their work in the background is over when Discard returns.
func TestGivenUpFilesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	rows := manyEvents(20_000)
	for _, format := range encode.Formats() {
		for _, fails := range []int{0, 100, 300_000, 1_000_000} {
			t.Run(fmt.Sprint(format, " after ", fails), func(t *testing.T) {
				t.Parallel()
				e, err := encode.New(&brokenWriter{left: fails}, rows.Schema(), encode.Options{Format: format, Compression: encode.Gzip})
				if err == nil {
					if err = e.Write(rows); err == nil {
						err = e.Close()
					}
					e.Discard()
				}
				require.ErrorIs(t, err, errBroken)
			})
		}
	}
}

type brokenWriter struct{ left int }

var errBroken = fmt.Errorf("the disk is full")

// Write fails when it has taken what it takes.
func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}
