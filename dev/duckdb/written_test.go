package duckdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/dev/duckdb/engine"
	"tranche/encode"
	"tranche/query"
)

// TestDuckDBReadsWhatWeWrite: another reader than the libraries that the encoders are made of. It sums up what it reads,
// and uses statistics and dictionaries to skip.
func TestDuckDBReadsWhatWeWrite(t *testing.T) {
	t.Parallel()
	const rows = 150_000
	all := written(rows)
	for _, format := range []encode.Format{encode.Parquet, encode.JSONLines} {
		for _, codec := range append(encode.Compressions(format), encode.None) {
			if format == encode.JSONLines && codec == encode.Brotli {
				continue // DuckDB does not know it
			}
			t.Run(fmt.Sprint(format, " ", codec), func(t *testing.T) {
				t.Parallel()
				o := encode.Options{Format: format, Compression: codec}
				path := filepath.Join(t.TempDir(), "file."+o.Extension())
				f, err := os.Create(path)
				require.NoError(t, err)
				e, err := encode.New(f, all.Schema(), o)
				require.NoError(t, err)
				require.NoError(t, e.Write(all))
				require.NoError(t, e.Close())
				require.NoError(t, f.Close())

				from := "read_parquet('" + path + "')"
				if format == encode.JSONLines {
					from = "read_json('" + path + "', format = 'newline_delimited', columns = {id: 'VARCHAR', kind: 'VARCHAR', n: 'BIGINT', moment: 'TIMESTAMP', props: 'JSON', tags: 'VARCHAR[]'})"
				}
				c := reading(t)
				for sql, want := range map[string]int64{
					"count(*)":                                rows,
					"count(DISTINCT id)":                      rows,
					"count(kind)":                             rows - rows/5,
					"count(*) FILTER (kind = 'k7')":           count(rows, func(i int) bool { return i%5 != 0 && i%9 == 7 }),
					"sum(n)::BIGINT":                          int64(rows) * (rows - 1) / 2,
					"sum((props->>'a')::INT)::BIGINT":         int64(rows) * (rows - 1) / 2,
					"max(epoch_us(moment))":                   1_700_000_000_000_000 + rows - 1,
					"sum(len(tags))::BIGINT":                  count(rows, func(i int) bool { return i%3 == 1 }) + 2*count(rows, func(i int) bool { return i%3 == 2 }),
					"count(*) FILTER (id = 'id 149999')":      1,
					"count(*) FILTER (n BETWEEN 400 AND 409)": 10,
				} {
					require.Equal(t, want, sum(t, c, "SELECT "+sql+" FROM "+from), sql)
				}
				if format == encode.Parquet {
					require.Equal(t, int64(2), sum(t, c, "SELECT max(row_group_id) + 1 FROM parquet_metadata('"+path+"')"))
					require.Equal(t, int64(1), sum(t, c, "SELECT count(*) FROM (DESCRIBE SELECT * FROM "+from+") WHERE column_name = 'props' AND column_type = 'JSON'"))
					require.Equal(t, int64(1), sum(t, c, "SELECT count(*) FROM (DESCRIBE SELECT * FROM "+from+") WHERE column_name = 'moment' AND column_type = 'TIMESTAMP WITH TIME ZONE'"))
				}
			})
		}
	}
}

func count(n int, which func(i int) bool) int64 {
	found := int64(0)
	for i := range n {
		if which(i) {
			found++
		}
	}
	return found
}

// reading opens a database in memory.
func reading(t *testing.T) *engine.Conn {
	t.Helper()
	d, err := engine.Open("", map[string]string{"threads": "2"})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	c, err := d.Connect()
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// sum runs a query of one BIGINT.
func sum(t *testing.T, c *engine.Conn, sql string) int64 {
	t.Helper()
	rows, err := c.Query(t.Context(), sql)
	require.NoError(t, err)
	defer rows.Close()
	chunk, err := rows.Next(t.Context())
	require.NoError(t, err)
	require.NotNil(t, chunk)
	defer chunk.Close()
	return chunk.Column(0).Int64(0)
}

// written makes rows whose sums are known.
func written(n int) arrow.RecordBatch {
	isJSON := arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String},
		{Name: "kind", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "moment", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "props", Type: arrow.BinaryTypes.String, Metadata: isJSON},
		{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String)},
	}, nil))
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprint("id ", i))
		if i%5 == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("k", i%9))
		}
		b.Field(2).(*array.Int64Builder).Append(int64(i))
		b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + int64(i)))
		b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("{\"a\":%d,\n \"b\":%q}", i, strings.Repeat("é", i%7)))
		tags := b.Field(5).(*array.ListBuilder)
		tags.Append(true)
		for range i % 3 {
			tags.ValueBuilder().(*array.StringBuilder).Append("tag")
		}
	}
	return b.NewRecordBatch()
}
