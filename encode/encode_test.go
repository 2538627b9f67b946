package encode_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	pqfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/encode"
)

// encoded writes batches of one schema.
func encoded(t require.TestingT, o encode.Options, batches ...arrow.RecordBatch) []byte {
	var b bytes.Buffer
	e, err := encode.New(&b, batches[0].Schema(), o)
	require.NoError(t, err)
	for _, rows := range batches {
		require.NoError(t, e.Write(rows))
	}
	require.NoError(t, e.Close())
	require.Equal(t, int64(b.Len()), e.Size())
	return b.Bytes()
}

func samples() map[string]sample {
	all := scalars()
	maps.Copy(all, nested())
	return all
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := `{"c":null}` + "\n"
			for _, value := range s.json {
				want += `{"c":` + value + "}\n"
			}
			want += `{"c":null}` + "\n"
			got := encoded(t, encode.Options{Format: encode.JSONLines}, batchOf(s.column(t), arrow.Metadata{}))
			require.Equal(t, want, string(got))
		})
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := "c\r\n\"\"\r\n"
			for _, value := range s.csv {
				if value == "" { // a line must not be empty
					value = `""`
				}
				want += value + "\r\n"
			}
			want += "\"\"\r\n"
			got := encoded(t, encode.Options{Format: encode.CSV}, batchOf(s.column(t), arrow.Metadata{}))
			require.Equal(t, want, string(got))
		})
	}
}

// TestParquet writes each type, reads it back with arrow-go, and compares what both would be as JSON.
func TestParquet(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := batchOf(s.column(t), arrow.Metadata{})
			body := encoded(t, encode.Options{Format: encode.Parquet, Compression: encode.Zstd}, rows, rows)
			one := string(encoded(t, encode.Options{Format: encode.JSONLines}, rows))
			read := readParquet(t, body)
			got := string(encoded(t, encode.Options{Format: encode.JSONLines}, read...))
			require.Equal(t, one+one, strings.ReplaceAll(got, `"bad\ufffd`, `"bad�`))
			f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
			require.NoError(t, err)
			require.Equal(t, 2*rows.NumRows(), f.NumRows())
			require.True(t, f.Schema().Fields()[0].Optional())
		})
	}
}

// Arrow allows a null list to have elements; no reader may see them.
func TestNullListWithElements(t *testing.T) {
	t.Parallel()
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64)
	for range 2 {
		b.Append(true)
		b.ValueBuilder().(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	}
	full := b.NewArray().Data()
	buffers := []*memory.Buffer{memory.NewBufferBytes([]byte{0b10}), full.Buffers()[1]}
	rows := batchOf(array.MakeFromData(array.NewData(full.DataType(), 2, buffers, full.Children(), 1, 0)), arrow.Metadata{})
	lines := encoded(t, encode.Options{Format: encode.JSONLines}, rows)
	require.True(t, bytes.Equal([]byte("{\"c\":null}\n{\"c\":[1,2]}\n"), lines), "got %s", lines)
	read := readParquet(t, encoded(t, encode.Options{Format: encode.Parquet}, rows))
	require.Equal(t, string(lines), string(encoded(t, encode.Options{Format: encode.JSONLines}, read...)))
}

// readParquet reads with arrow-go.
func readParquet(t require.TestingT, body []byte) []arrow.RecordBatch {
	r, err := pqfile.NewParquetReader(bytes.NewReader(body))
	require.NoError(t, err)
	a, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 1 << 20}, memory.DefaultAllocator)
	require.NoError(t, err)
	records, err := a.GetRecordReader(context.Background(), nil, nil)
	require.NoError(t, err)
	var batches []arrow.RecordBatch
	for records.Next() {
		rows := records.RecordBatch()
		rows.Retain()
		batches = append(batches, rows)
	}
	require.NoError(t, records.Err())
	return batches
}

func TestEmbeddedJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"an object stays as it is":                      {`{"a": 1.0e5,  "b":"é\u00e9\/"}`, `{"a": 1.0e5,  "b":"é\u00e9\/"}`},
		"a number beyond floats stays":                  {`123456789012345678901234567890.123e400`, `123456789012345678901234567890.123e400`},
		"empty is null":                                 {``, `null`},
		"line breaks between tokens go":                 {"{\n  \"a\": [1,\r\n 2],\n \"b c\": \" x\\n \"\n}", `{"a":[1,2],"b c":" x\n "}`},
		"a line break in a string is not JSON":          {"{\"a\":\"x\ny\"}", `"{\"a\":\"x\ny\"}"`},
		"cut off":                                       {`{"a":`, `"{\"a\":"`},
		"two values":                                    {`{} {}`, `"{} {}"`},
		"a trailing comma":                              {`[1,]`, `"[1,]"`},
		"a leading zero":                                {`01`, `"01"`},
		"a bare word":                                   {`nul`, `"nul"`},
		"NaN":                                           {`NaN`, `"NaN"`},
		"mismatched brackets":                           {`{"a":[1}`, `"{\"a\":[1}"`},
		"spaces only":                                   {"  ", `"  "`},
		"bytes that are not UTF-8 are replaced":         {"{\"a\":\"\xff\"}", "{\"a\":\"�\"}"},
		"and with line breaks too":                      {"{\n\"a\":\"\xff\"}", "{\"a\":\"�\"}"},
		"a lone surrogate is the reader's affair":       {`"\ud800"`, `"\ud800"`},
		"as deep as readers go":                         {strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)},
		"deeper than readers go":                        {strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), `"` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `"`},
		"a quote eight bytes and more behind an escape": {`"\\aaaaaaaaaaaaaaaa\"bbbbbbb"`, `"\\aaaaaaaaaaaaaaaa\"bbbbbbb"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sample{arrow: arrow.BinaryTypes.String, append: appender((*array.StringBuilder).Append, c.text), json: []string{""}}
			want := "{\"c\":null}\n{\"c\":" + strings.ReplaceAll(c.want, "\n", `\n`) + "}\n{\"c\":null}\n"
			got := encoded(t, encode.Options{Format: encode.JSONLines}, batchOf(s.column(t), jsonMetadata()))
			require.Equal(t, want, string(got))
		})
	}
}

func TestCodecs(t *testing.T) {
	t.Parallel()
	rows := batchOf(scalars()["string"].column(t), arrow.Metadata{})
	for _, format := range encode.Formats() {
		plain := encoded(t, encode.Options{Format: format}, rows)
		for _, codec := range encode.Compressions(format) {
			t.Run(string(format)+" "+string(codec), func(t *testing.T) {
				t.Parallel()
				body := encoded(t, encode.Options{Format: format, Compression: codec}, rows)
				if format == encode.Parquet {
					f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
					require.NoError(t, err)
					got := f.Metadata().RowGroups[0].Columns[0].MetaData.Codec.String()
					require.Equal(t, strings.ToUpper(string(codec)), strings.TrimSuffix(got, "_RAW"))
					values, err := parquet.Read[struct {
						C *string `parquet:"c,optional"`
					}](bytes.NewReader(body), int64(len(body)))
					require.NoError(t, err)
					require.Len(t, values, int(rows.NumRows()))
					require.Equal(t, "naïve 😀", *values[2].C)
					return
				}
				require.Equal(t, plain, decompressed(t, codec, body))
			})
		}
	}
}

func decompressed(t *testing.T, c encode.Compression, body []byte) []byte {
	t.Helper()
	var r io.Reader = brotli.NewReader(bytes.NewReader(body))
	if c == encode.Gzip {
		var err error
		r, err = gzip.NewReader(bytes.NewReader(body))
		require.NoError(t, err)
	}
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return plain
}

func TestFileWithoutRows(t *testing.T) {
	t.Parallel()
	rows := batchOf(scalars()["string"].column(t), arrow.Metadata{}).NewSlice(0, 0)
	require.Empty(t, encoded(t, encode.Options{Format: encode.JSONLines}, rows))
	require.Equal(t, "c\r\n", string(encoded(t, encode.Options{Format: encode.CSV}, rows)))
	body := encoded(t, encode.Options{Format: encode.Parquet}, rows)
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	require.Zero(t, f.NumRows())
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o         encode.Options
		err       string
		extension string
	}{
		"Parquet has no suffix":      {encode.Options{Format: "Parquet", Compression: "zstd"}, "", "parquet"},
		"JSONLines has one":          {encode.Options{Format: "JSONLines", Compression: "gzip"}, "", "jsonl.gz"},
		"brotli is br":               {encode.Options{Format: "JSONLines", Compression: "brotli"}, "", "jsonl.br"},
		"JSONLines, not compressed":  {encode.Options{Format: "JSONLines"}, "", "jsonl"},
		"CSV":                        {encode.Options{Format: "CSV", Compression: "gzip"}, "", "csv.gz"},
		"a format that is not there": {encode.Options{Format: "XML"}, "File format XML is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']", ""},
		"a codec that JSONLines lacks": {
			encode.Options{Format: "JSONLines", Compression: "zstd"},
			"Compression zstd is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']", "",
		},
		"a codec that CSV lacks": {
			encode.Options{Format: "CSV", Compression: "brotli"},
			"Compression brotli is not supported for file format CSV. Supported compressions are ['gzip']", "",
		},
		"a codec that Parquet lacks": {
			encode.Options{Format: "Parquet", Compression: "bzip2"},
			"Compression bzip2 is not supported for file format Parquet. Supported compressions are ['zstd', 'lz4', 'snappy', 'gzip', 'brotli']", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.o.Validate()
			if c.err != "" {
				require.Equal(t, c.err, batch.MessageOf(err))
				require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.extension, c.o.Extension())
		})
	}
}

func TestCheckRefusesWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	union := arrow.SparseUnionOf([]arrow.Field{field("a", arrow.PrimitiveTypes.Int8)}, []arrow.UnionTypeCode{0})
	for name, c := range map[string]struct {
		fields []arrow.Field
		format encode.Format
	}{
		"a union":                    {[]arrow.Field{field("c", union)}, encode.JSONLines},
		"a union in a list":          {[]arrow.Field{field("c", arrow.ListOf(union))}, encode.CSV},
		"an interval of months":      {[]arrow.Field{field("c", arrow.FixedWidthTypes.MonthInterval)}, encode.Parquet},
		"run ends":                   {[]arrow.Field{field("c", arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String))}, encode.JSONLines},
		"a list as key of a map":     {[]arrow.Field{field("c", arrow.MapOf(arrow.ListOf(arrow.Null), arrow.Null))}, encode.JSONLines},
		"an empty struct in Parquet": {[]arrow.Field{field("c", arrow.StructOf())}, encode.Parquet},
		"a list view in Parquet":     {[]arrow.Field{field("c", arrow.ListViewOf(arrow.Null))}, encode.Parquet},
		"two columns of one name":    {[]arrow.Field{field("c", arrow.Null), field("c", arrow.Null)}, encode.JSONLines},
		"no columns":                 {nil, encode.JSONLines},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := encode.New(io.Discard, arrow.NewSchema(c.fields, nil), encode.Options{Format: c.format})
			require.Equal(t, batch.CodeSchema, batch.CodeOf(err), "%v", err)
		})
	}
}
