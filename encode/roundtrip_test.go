package encode_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/encode"
	"tranche/query"
)

// An event is a row that the round trips draw, write and read back.
type event struct {
	Text  *string
	JSON  *string
	At    *int64 // microseconds
	Float *float64
	Count *int64
}

func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Custom(func(t *rapid.T) *T {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return nil
		}
		v := g.Draw(t, "value")
		return &v
	})
}

// texts draws what breaks encoders.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.StringMatching(`[",\\\n\r\t {}\[\]:é😀\x00-\x1f]{0,24}`),
		rapid.Map(rapid.IntRange(0, 70_000), func(n int) string { return strings.Repeat("a\"é", n/3) }),
	)
}

// jsonTexts draws JSON, what was JSON until something happened to it, and anything.
func jsonTexts() *rapid.Generator[string] {
	value := rapid.Custom(func(t *rapid.T) string {
		v := rapid.Map(rapid.MapOfN(rapid.String(), rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Int64(), func(n int64) any { return n }),
			rapid.Map(rapid.SliceOfN(rapid.Bool(), 0, 3), func(b []bool) any { return b }),
		), 0, 5), func(m map[string]any) any { return m }).Draw(t, "value")
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "pretty") {
			var b bytes.Buffer
			if err := json.Indent(&b, body, "", "\t"); err != nil {
				t.Fatal(err)
			}
			body = b.Bytes()
		}
		return string(body)
	})
	cut := rapid.Custom(func(t *rapid.T) string {
		s := value.Draw(t, "whole")
		return s[:rapid.IntRange(0, len(s)).Draw(t, "cut")]
	})
	return rapid.OneOf(value, value, cut, texts())
}

func events() *rapid.Generator[[]event] {
	at := rapid.OneOf(rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999), rapid.Int64Range(-2_000_000, 2_000_000))
	float := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e21, 1e-7}))
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			Text: maybe(texts()).Draw(t, "text"), JSON: maybe(jsonTexts()).Draw(t, "json"),
			At: maybe(at).Draw(t, "at"), Float: maybe(float).Draw(t, "float"), Count: maybe(rapid.Int64()).Draw(t, "count"),
		}
	}), 0, 20)
}

func batchOfEvents(events []event) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "text", Type: arrow.BinaryTypes.String},
		{Name: "json", Type: arrow.BinaryTypes.String, Metadata: arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "float", Type: arrow.PrimitiveTypes.Float64},
		{Name: "count", Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, e := range events {
		put(b.Field(0).(*array.StringBuilder).Append, e.Text, b.Field(0))
		put(b.Field(1).(*array.StringBuilder).Append, e.JSON, b.Field(1))
		put(func(n int64) { b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(n)) }, e.At, b.Field(2))
		put(b.Field(3).(*array.Float64Builder).Append, e.Float, b.Field(3))
		put(b.Field(4).(*array.Int64Builder).Append, e.Count, b.Field(4))
	}
	return b.NewRecordBatch()
}

func put[T any](add func(T), value *T, b array.Builder) {
	if value == nil {
		b.AppendNull()
		return
	}
	add(*value)
}

// replaced is what readers see of text that is not UTF-8: one mark per bad byte.
func replaced(s string) string {
	return string([]rune(s))
}

func TestJSONLinesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events().Draw(t, "events")
		body := encoded(t, encode.Options{Format: encode.JSONLines}, batchOfEvents(want))
		require.True(t, utf8.Valid(body))
		require.Equal(t, len(want), bytes.Count(body, []byte("\n")))
		lines := bytes.Split(body, []byte("\n"))
		for i, e := range want {
			var got struct {
				Text  *string
				JSON  json.RawMessage
				At    *time.Time
				Float *float64
				Count *int64
			}
			require.NoError(t, json.Unmarshal(lines[i], &got), "%s", lines[i])
			requireText(t, e.Text, got.Text)
			requireJSON(t, e.JSON, got.JSON)
			requireTime(t, e.At, got.At)
			if e.Float != nil && (math.IsNaN(*e.Float) || math.IsInf(*e.Float, 0)) {
				e.Float = nil
			}
			requireFloat(t, e.Float, got.Float)
			require.Equal(t, e.Count, got.Count)
		}
	})
}

func requireText(t *rapid.T, want, got *string) {
	if want == nil {
		require.Nil(t, got)
		return
	}
	require.Equal(t, replaced(*want), *got)
}

// requireJSON compares tokens: numbers and escapes must be as they were.
func requireJSON(t *rapid.T, want *string, got json.RawMessage) {
	switch {
	case want == nil || *want == "":
		require.Equal(t, "null", string(got))
	case json.Valid([]byte(*want)):
		require.Equal(t, compact(t, []byte(replaced(*want))), compact(t, got))
	default:
		var text string
		require.NoError(t, json.Unmarshal(got, &text))
		require.Equal(t, replaced(*want), text)
	}
}

func compact(t *rapid.T, text []byte) string {
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	return b.String()
}

func requireTime(t *rapid.T, want *int64, got *time.Time) {
	if want == nil {
		require.Nil(t, got)
		return
	}
	require.Equal(t, *want, got.UnixMicro())
}

func requireFloat(t *rapid.T, want, got *float64) {
	if want == nil {
		require.Nil(t, got)
		return
	}
	require.Equal(t, math.Float64bits(*want), math.Float64bits(*got), "%v, %v", *want, *got)
}

func TestCSVRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events().Draw(t, "events")
		body := encoded(t, encode.Options{Format: encode.CSV}, batchOfEvents(want))
		records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
		require.NoError(t, err)
		require.Equal(t, []string{"text", "json", "at", "float", "count"}, records[0])
		require.Len(t, records, len(want)+1)
		for i, e := range want {
			got := records[i+1]
			require.Equal(t, cellText(e.Text), got[0])
			require.Equal(t, cellText(e.JSON), got[1])
			if e.At == nil {
				require.Empty(t, got[2])
			} else {
				at, err := time.Parse("2006-01-02T15:04:05.000000Z", got[2])
				require.NoError(t, err)
				require.Equal(t, *e.At, at.UnixMicro())
			}
			if e.Float == nil {
				require.Empty(t, got[3])
			} else {
				var x float64
				_, err := fmt.Sscan(got[3], &x)
				require.NoError(t, err)
				require.True(t, x == *e.Float && math.Signbit(x) == math.Signbit(*e.Float) || math.IsNaN(x) && math.IsNaN(*e.Float))
			}
		}
	})
}

// cellText is what encoding/csv reads: it makes one line feed of every line break.
func cellText(s *string) string {
	if s == nil {
		return ""
	}
	return strings.ReplaceAll(replaced(*s), "\r\n", "\n")
}

func TestParquetRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := events().Draw(t, "events")
		codec := rapid.SampledFrom(append(encode.Compressions(encode.Parquet), encode.None)).Draw(t, "codec")
		body := encoded(t, encode.Options{Format: encode.Parquet, Compression: codec}, batchOfEvents(want))
		read, err := parquet.Read[struct {
			Text  *string  `parquet:"text"`
			JSON  *string  `parquet:"json"`
			At    *int64   `parquet:"at,timestamp(microsecond)"`
			Float *float64 `parquet:"float"`
			Count *int64   `parquet:"count"`
		}](bytes.NewReader(body), int64(len(body)))
		require.NoError(t, err)
		require.Len(t, read, len(want))
		for i, e := range want {
			requireText(t, e.Text, read[i].Text)
			requireText(t, e.JSON, read[i].JSON)
			require.Equal(t, e.At, read[i].At)
			requireFloat(t, e.Float, read[i].Float)
			require.Equal(t, e.Count, read[i].Count)
		}
		// The second reader sees what the first one saw.
		o := encode.Options{Format: encode.JSONLines}
		if len(want) > 0 {
			require.Equal(t, string(encoded(t, o, batchOfEvents(want))), string(encoded(t, o, marked(readParquet(t, body))...)))
		}
	})
}

// marked gives batches that were read back the schema that says what is JSON.
func marked(batches []arrow.RecordBatch) []arrow.RecordBatch {
	schema := batchOfEvents(nil).Schema()
	for i, b := range batches {
		columns := slices.Clone(b.Columns())
		if j := schema.FieldIndices("json")[0]; columns[j].DataType().ID() == arrow.BINARY { // how arrow-go reads JSON
			d := columns[j].Data()
			columns[j] = array.NewStringData(array.NewData(arrow.BinaryTypes.String, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset()))
		}
		batches[i] = array.NewRecordBatch(schema, columns, b.NumRows())
	}
	return batches
}

// TestSizeIsFair: files are rolled by this estimate.
func TestSizeIsFair(t *testing.T) {
	t.Parallel()
	rows := manyEvents(20_000)
	for _, format := range encode.Formats() {
		for _, codec := range append(encode.Compressions(format), encode.None) {
			t.Run(string(format)+" "+string(codec), func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				e, err := encode.New(&b, rows.Schema(), encode.Options{Format: format, Compression: codec})
				require.NoError(t, err)
				for from := int64(0); from < rows.NumRows(); from += 2000 {
					part := rows.NewSlice(from, from+2000)
					require.NoError(t, e.Write(part))
					part.Release()
				}
				estimate := float64(e.Size())
				require.NoError(t, e.Close())
				require.InEpsilon(t, float64(b.Len()), estimate, 0.35)
			})
		}
	}
}
