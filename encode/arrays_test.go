package encode_test

import (
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/query"
)

// A sample is a type with values of it: how each is written in JSON and in CSV. Null follows by itself.
type sample struct {
	arrow  arrow.DataType
	append func(array.Builder)
	json   []string
	csv    []string
}

func jsonMetadata() arrow.Metadata {
	return arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})
}

// appender makes an append of a builder's own type.
func appender[B array.Builder, T any](add func(B, T), values ...T) func(array.Builder) {
	return func(b array.Builder) {
		for _, v := range values {
			add(b.(B), v)
		}
	}
}

func scalars() map[string]sample {
	utc := func(unit arrow.TimeUnit, zone string) arrow.DataType {
		return &arrow.TimestampType{Unit: unit, TimeZone: zone}
	}
	return map[string]sample{
		"bool": {
			arrow.FixedWidthTypes.Boolean, appender((*array.BooleanBuilder).Append, true, false),
			[]string{"true", "false"},
			[]string{"true", "false"},
		},
		"int8": {
			arrow.PrimitiveTypes.Int8, appender((*array.Int8Builder).Append, -128, 127),
			[]string{"-128", "127"},
			[]string{"-128", "127"},
		},
		"int16": {
			arrow.PrimitiveTypes.Int16, appender((*array.Int16Builder).Append, math.MinInt16, math.MaxInt16),
			[]string{"-32768", "32767"},
			[]string{"-32768", "32767"},
		},
		"int32": {
			arrow.PrimitiveTypes.Int32, appender((*array.Int32Builder).Append, math.MinInt32, 0),
			[]string{"-2147483648", "0"},
			[]string{"-2147483648", "0"},
		},
		"int64": {
			arrow.PrimitiveTypes.Int64, appender((*array.Int64Builder).Append, math.MinInt64, math.MaxInt64),
			[]string{"-9223372036854775808", "9223372036854775807"},
			[]string{"-9223372036854775808", "9223372036854775807"},
		},
		"uint8": {
			arrow.PrimitiveTypes.Uint8, appender((*array.Uint8Builder).Append, 0, 255),
			[]string{"0", "255"},
			[]string{"0", "255"},
		},
		"uint16": {
			arrow.PrimitiveTypes.Uint16, appender((*array.Uint16Builder).Append, 0, math.MaxUint16),
			[]string{"0", "65535"},
			[]string{"0", "65535"},
		},
		"uint32": {
			arrow.PrimitiveTypes.Uint32, appender((*array.Uint32Builder).Append, 0, math.MaxUint32),
			[]string{"0", "4294967295"},
			[]string{"0", "4294967295"},
		},
		"uint64": {
			arrow.PrimitiveTypes.Uint64, appender((*array.Uint64Builder).Append, 0, math.MaxUint64),
			[]string{"0", "18446744073709551615"},
			[]string{"0", "18446744073709551615"},
		},
		"float16": {
			arrow.FixedWidthTypes.Float16, appender((*array.Float16Builder).Append, float16.New(-0.5), float16.New(65504)),
			[]string{"-0.5", "65504"},
			[]string{"-0.5", "65504"},
		},
		"float32": {
			arrow.PrimitiveTypes.Float32, appender((*array.Float32Builder).Append, 0.1, float32(math.Inf(1))),
			[]string{"0.1", "null"},
			[]string{"0.1", "Infinity"},
		},
		"float64": {
			arrow.PrimitiveTypes.Float64, appender((*array.Float64Builder).Append, math.Copysign(0, -1), math.NaN(), 1e300, math.Inf(-1), 1e-7),
			[]string{"-0", "null", "1e+300", "null", "1e-07"},
			[]string{"-0", "NaN", "1e+300", "-Infinity", "1e-07"},
		},
		"decimal32": {
			&arrow.Decimal32Type{Precision: 9, Scale: 3}, appender((*array.Decimal32Builder).Append, decimal.Decimal32(-1), decimal.Decimal32(123456789)),
			[]string{"-0.001", "123456.789"},
			[]string{"-0.001", "123456.789"},
		},
		"decimal64": {
			&arrow.Decimal64Type{Precision: 18, Scale: 0}, appender((*array.Decimal64Builder).Append, decimal.Decimal64(-7)),
			[]string{"-7"},
			[]string{"-7"},
		},
		"decimal128": {
			&arrow.Decimal128Type{Precision: 38, Scale: 10}, appender(func(b *array.Decimal128Builder, s string) { must(b.AppendValueFromString(s)) },
				"-1234567890123456789012345678.0123456789", "0.0000000001"),
			[]string{"-1234567890123456789012345678.0123456789", "0.0000000001"},
			[]string{"-1234567890123456789012345678.0123456789", "0.0000000001"},
		},
		"decimal256": {
			&arrow.Decimal256Type{Precision: 76, Scale: 1}, appender(func(b *array.Decimal256Builder, s string) { must(b.AppendValueFromString(s)) },
				"99999999999999999999999999999999999999999999999999.9"),
			[]string{"99999999999999999999999999999999999999999999999999.9"},
			[]string{"99999999999999999999999999999999999999999999999999.9"},
		},
		"string": {
			arrow.BinaryTypes.String, appender((*array.StringBuilder).Append, "", "naïve 😀", "a\"b\\c,\n\r\t\x00", "bad\xffbytes\xf0\x9f"),
			[]string{`""`, `"naïve 😀"`, `"a\"b\\c,\n\r\t\u0000"`, `"bad�bytes��"`},
			[]string{`""`, "naïve 😀", "\"a\"\"b\\c,\n\r\t\x00\"", "bad�bytes��"},
		},
		"large string": {arrow.BinaryTypes.LargeString, appender((*array.LargeStringBuilder).Append, "x"), []string{`"x"`}, []string{"x"}},
		"string view": {
			arrow.BinaryTypes.StringView, appender((*array.StringViewBuilder).Append, "a view that is longer than its inline bytes"),
			[]string{`"a view that is longer than its inline bytes"`},
			[]string{"a view that is longer than its inline bytes"},
		},
		"binary": {
			arrow.BinaryTypes.Binary, appender((*array.BinaryBuilder).Append, []byte{0, 255}, []byte{}),
			[]string{`"AP8="`, `""`},
			[]string{"AP8=", ""},
		},
		"large binary": {arrow.BinaryTypes.LargeBinary, appender((*array.BinaryBuilder).Append, []byte{1}), []string{`"AQ=="`}, []string{"AQ=="}},
		"binary view":  {arrow.BinaryTypes.BinaryView, appender((*array.BinaryViewBuilder).Append, []byte{1}), []string{`"AQ=="`}, []string{"AQ=="}},
		"fixed size binary": {
			&arrow.FixedSizeBinaryType{ByteWidth: 2}, appender((*array.FixedSizeBinaryBuilder).Append, []byte{1, 2}),
			[]string{`"AQI="`},
			[]string{"AQI="},
		},
		"date32": {
			arrow.FixedWidthTypes.Date32, appender((*array.Date32Builder).Append, 0, -1, 19782),
			[]string{`"1970-01-01"`, `"1969-12-31"`, `"2024-02-29"`},
			[]string{"1970-01-01", "1969-12-31", "2024-02-29"},
		},
		"date64": {
			arrow.FixedWidthTypes.Date64, appender((*array.Date64Builder).Append, 0, -86_400_000),
			[]string{`"1970-01-01"`, `"1969-12-31"`},
			[]string{"1970-01-01", "1969-12-31"},
		},
		"time32 in seconds": {
			arrow.FixedWidthTypes.Time32s, appender((*array.Time32Builder).Append, 86399),
			[]string{`"23:59:59.000000"`},
			[]string{"23:59:59.000000"},
		},
		"time32 in milliseconds": {
			arrow.FixedWidthTypes.Time32ms, appender((*array.Time32Builder).Append, 1),
			[]string{`"00:00:00.001000"`},
			[]string{"00:00:00.001000"},
		},
		"time64 in microseconds": {
			arrow.FixedWidthTypes.Time64us, appender((*array.Time64Builder).Append, 86_399_999_999),
			[]string{`"23:59:59.999999"`},
			[]string{"23:59:59.999999"},
		},
		"time64 in nanoseconds": {
			arrow.FixedWidthTypes.Time64ns, appender((*array.Time64Builder).Append, 1),
			[]string{`"00:00:00.000000001"`},
			[]string{"00:00:00.000000001"},
		},
		"timestamp in microseconds": {
			utc(arrow.Microsecond, "UTC"), appender((*array.TimestampBuilder).Append, 0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999),
			[]string{`"1970-01-01T00:00:00.000000Z"`, `"1969-12-31T23:59:59.999999Z"`, `"0001-01-01T00:00:00.000000Z"`, `"9999-12-31T23:59:59.999999Z"`},
			[]string{"1970-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"},
		},
		"timestamp in seconds, with another zone": {
			utc(arrow.Second, "Asia/Kolkata"), appender((*array.TimestampBuilder).Append, 1_700_000_000, -62_135_596_800),
			[]string{`"2023-11-14T22:13:20.000000Z"`, `"0001-01-01T00:00:00.000000Z"`},
			[]string{"2023-11-14T22:13:20.000000Z", "0001-01-01T00:00:00.000000Z"},
		},
		"timestamp in milliseconds, without zone": {
			utc(arrow.Millisecond, ""), appender((*array.TimestampBuilder).Append, -1),
			[]string{`"1969-12-31T23:59:59.999000Z"`},
			[]string{"1969-12-31T23:59:59.999000Z"},
		},
		"timestamp in nanoseconds": {
			utc(arrow.Nanosecond, "UTC"), appender((*array.TimestampBuilder).Append, 1, 2000, -1),
			[]string{`"1970-01-01T00:00:00.000000001Z"`, `"1970-01-01T00:00:00.000002Z"`, `"1969-12-31T23:59:59.999999999Z"`},
			[]string{"1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000002Z", "1969-12-31T23:59:59.999999999Z"},
		},
		"duration": {arrow.FixedWidthTypes.Duration_us, appender((*array.DurationBuilder).Append, -5), []string{"-5"}, []string{"-5"}},
		"null":     {arrow.Null, func(b array.Builder) { b.AppendNull() }, []string{"null"}, []string{""}},
		"dictionary": {
			&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
			appender(func(b *array.BinaryDictionaryBuilder, s string) { must(b.AppendString(s)) }, "a,b", "c", "a,b"),
			[]string{`"a,b"`, `"c"`, `"a,b"`},
			[]string{`"a,b"`, "c", `"a,b"`},
		},
		"dictionary of integers": {
			&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: arrow.PrimitiveTypes.Int64},
			appender(func(b *array.Int64DictionaryBuilder, n int64) { must(b.Append(n)) }, 7, -7),
			[]string{"7", "-7"},
			[]string{"7", "-7"},
		},
	}
}

func nested() map[string]sample {
	strings := func(b array.Builder, values ...string) {
		for _, v := range values {
			b.(*array.StringBuilder).Append(v)
		}
	}
	list := func(b array.Builder) {
		l := b.(array.ListLikeBuilder)
		l.Append(true)
		strings(l.ValueBuilder(), "a", "b\n")
		l.ValueBuilder().AppendNull()
		l.Append(true)
		strings(l.ValueBuilder(), "c", "d", "e")
	}
	entries := func(b array.Builder) {
		m := b.(*array.MapBuilder)
		m.Append(true)
		strings(m.KeyBuilder(), "k", "k\"2")
		m.ItemBuilder().(*array.Int64Builder).AppendValues([]int64{1, 2}, []bool{true, false})
		m.Append(true)
	}
	const threes = `["a","b\n",null]`
	quoted := `"[""a"",""b\n"",null]"`
	return map[string]sample{
		"list": {
			arrow.ListOf(arrow.BinaryTypes.String), func(b array.Builder) { list(b); b.(*array.ListBuilder).Append(true) },
			[]string{threes, `["c","d","e"]`, "[]"},
			[]string{quoted, `"[""c"",""d"",""e""]"`, `"[]"`},
		},
		"large list": {
			arrow.LargeListOf(arrow.BinaryTypes.String), list,
			[]string{threes, `["c","d","e"]`},
			[]string{quoted, `"[""c"",""d"",""e""]"`},
		},
		"fixed size list": {
			arrow.FixedSizeListOf(3, arrow.BinaryTypes.String), list,
			[]string{threes, `["c","d","e"]`},
			[]string{quoted, `"[""c"",""d"",""e""]"`},
		},
		"list of structs of lists": {arrow.ListOf(arrow.StructOf(arrow.Field{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int8), Nullable: true})), func(b array.Builder) {
			l := b.(*array.ListBuilder)
			l.Append(true)
			s := l.ValueBuilder().(*array.StructBuilder)
			s.Append(true)
			s.FieldBuilder(0).(*array.ListBuilder).Append(true)
			s.FieldBuilder(0).(*array.ListBuilder).ValueBuilder().(*array.Int8Builder).Append(9)
			s.AppendNull()
			s.Append(true)
			s.FieldBuilder(0).AppendNull()
		}, []string{`[{"l":[9]},null,{"l":null}]`}, []string{`"[{""l"":[9]},null,{""l"":null}]"`}},
		"struct": {
			arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
				arrow.Field{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_s, Nullable: true}), func(b array.Builder) {
				s := b.(*array.StructBuilder)
				s.Append(true)
				s.FieldBuilder(0).(*array.Int64Builder).Append(1)
				s.FieldBuilder(1).AppendNull()
				s.Append(true)
				s.FieldBuilder(0).AppendNull()
				s.FieldBuilder(1).(*array.TimestampBuilder).Append(0)
			},
			[]string{`{"a":1,"at":null}`, `{"a":null,"at":"1970-01-01T00:00:00.000000Z"}`},
			[]string{`"{""a"":1,""at"":null}"`, `"{""a"":null,""at"":""1970-01-01T00:00:00.000000Z""}"`},
		},
		"map": {
			arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), entries,
			[]string{`{"k":1,"k\"2":null}`, "{}"},
			[]string{`"{""k"":1,""k\""2"":null}"`, `"{}"`},
		},
		"map with keys that are no text": {arrow.MapOf(arrow.PrimitiveTypes.Int64, arrow.FixedWidthTypes.Boolean), func(b array.Builder) {
			m := b.(*array.MapBuilder)
			m.Append(true)
			m.KeyBuilder().(*array.Int64Builder).Append(5)
			m.ItemBuilder().(*array.BooleanBuilder).Append(true)
		}, []string{`{"5":true}`}, []string{`"{""5"":true}"`}},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// column builds the sample's values with a null before and after, and slices one row off at each end of a longer
// array, so that offsets are not zero.
func (s sample) column(t *testing.T) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, s.arrow)
	defer b.Release()
	b.AppendNull()
	b.AppendNull()
	s.append(b)
	b.AppendNull()
	b.AppendNull()
	whole := b.NewArray()
	defer whole.Release()
	require.Equal(t, len(s.json)+4, whole.Len())
	return array.NewSlice(whole, 1, int64(whole.Len()-1))
}

// batchOf makes a record batch of one column.
func batchOf(column arrow.Array, metadata arrow.Metadata) arrow.RecordBatch {
	f := arrow.Field{Name: "c", Type: column.DataType(), Nullable: true, Metadata: metadata}
	return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{f}, nil), []arrow.Array{column}, int64(column.Len()))
}
