package encode

import (
	"context"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
)

// A cast turns an array into one that Parquet can hold without loss. Its caller releases the result.
type cast func(arrow.Array) (arrow.Array, error)

// castOf returns how a type is held in Parquet, and the way there.
func castOf(t arrow.DataType) (arrow.DataType, cast) {
	switch t := t.(type) {
	case arrow.ExtensionType:
		storage, inner := castOf(t.StorageType())
		return storage, func(a arrow.Array) (arrow.Array, error) { return inner(a.(array.ExtensionArray).Storage()) }
	case *arrow.DictionaryType:
		return castDictionary(t)
	case *arrow.TimestampType:
		return castTimestamp(t)
	case *arrow.DurationType:
		return arrow.PrimitiveTypes.Int64, view(arrow.PrimitiveTypes.Int64)
	case *arrow.Date64Type:
		return arrow.FixedWidthTypes.Date32, date64ToDate32
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String, viewToString
	case *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary, viewToBinary
	case *arrow.StringType, *arrow.LargeStringType:
		return t, validText
	case *arrow.Decimal32Type:
		to := &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
		return to, widenDecimal[decimal.Decimal32](to)
	case *arrow.Decimal64Type:
		to := &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
		return to, widenDecimal[decimal.Decimal64](to)
	case arrow.NestedType:
		return castNested(t)
	}
	return t, view(t)
}

// view shares the array's memory under another type.
func view(t arrow.DataType) cast {
	return func(a arrow.Array) (arrow.Array, error) {
		if arrow.TypeEqual(a.DataType(), t) {
			a.Retain()
			return a, nil
		}
		d := a.Data()
		data := array.NewData(t, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
		defer data.Release()
		return array.MakeFromData(data), nil
	}
}

// rebuild casts the children of an array; offsets and nulls stay as they are.
func rebuild(to arrow.DataType, inner ...cast) cast {
	return func(a arrow.Array) (arrow.Array, error) {
		d := a.Data()
		children := make([]arrow.ArrayData, len(inner))
		for i, c := range inner {
			child := array.MakeFromData(d.Children()[i])
			held, err := c(child)
			child.Release()
			if err != nil {
				return nil, err
			}
			defer held.Release()
			children[i] = held.Data()
		}
		data := array.NewData(to, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
		defer data.Release()
		return array.MakeFromData(data), nil
	}
}

func castNested(t arrow.NestedType) (arrow.DataType, cast) {
	switch t := t.(type) {
	case *arrow.StructType:
		fields, casts := t.Fields(), make([]cast, t.NumFields())
		for i, f := range fields {
			fields[i], casts[i] = castField(f)
		}
		to := arrow.StructOf(fields...)
		return to, rebuild(to, casts...)
	case *arrow.MapType:
		key, castKey := castField(t.KeyField())
		item, castItem := castField(t.ItemField())
		to := arrow.MapOf(key.Type, item.Type)
		return to, rebuild(to, rebuild(to.Elem(), castKey, castItem))
	case *arrow.ListType:
		elem, c := castField(t.ElemField())
		to := arrow.ListOfField(elem)
		return to, rebuild(to, c)
	case *arrow.LargeListType:
		elem, c := castField(t.ElemField())
		to := arrow.LargeListOfField(elem)
		return to, rebuild(to, c)
	case *arrow.FixedSizeListType:
		elem, c := castField(t.ElemField())
		to := arrow.ListOfField(elem)
		return to, fixedToList(to, c)
	}
	return t, view(t) // Check has refused it
}

// fixedToList makes lists of fixed-size lists: the file is the same, but the writer forgets the offset of the latter.
func fixedToList(to *arrow.ListType, inner cast) cast {
	return func(a arrow.Array) (arrow.Array, error) {
		lists := a.(*array.FixedSizeList)
		kept := array.NewInt64Builder(memory.DefaultAllocator)
		defer kept.Release()
		offsets := make([]int32, 1, a.Len()+1)
		for i := range a.Len() {
			if a.IsValid(i) {
				start, end := lists.ValueOffsets(i)
				for j := start; j < end; j++ {
					kept.Append(j)
				}
			}
			offsets = append(offsets, int32(kept.Len()))
		}
		indices := kept.NewArray()
		defer indices.Release()
		taken, err := compute.TakeArray(context.Background(), lists.ListValues(), indices)
		if err != nil {
			return nil, err
		}
		defer taken.Release()
		values, err := inner(taken)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		return listOf(to, a, offsets, values), nil
	}
}

// listOf makes lists with the nulls of a.
func listOf(to arrow.DataType, a arrow.Array, offsets []int32, values arrow.Array) arrow.Array {
	nulls := make([]byte, bitutil.CeilByte(a.Len())/8)
	for i := range a.Len() {
		bitutil.SetBitTo(nulls, i, a.IsValid(i))
	}
	buffers := []*memory.Buffer{
		memory.NewBufferBytes(nulls), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)),
	}
	data := array.NewData(to, a.Len(), buffers, []arrow.ArrayData{values.Data()}, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func castField(f arrow.Field) (arrow.Field, cast) {
	to, c := castOf(f.Type)
	return arrow.Field{Name: f.Name, Type: to, Nullable: true}, c
}

// castDictionary looks the values up: Parquet finds its own dictionaries.
func castDictionary(t *arrow.DictionaryType) (arrow.DataType, cast) {
	to, inner := castOf(t.ValueType)
	return to, func(a arrow.Array) (arrow.Array, error) {
		d := a.(*array.Dictionary)
		values, err := inner(d.Dictionary())
		if err != nil {
			return nil, err
		}
		defer values.Release()
		return compute.TakeArray(context.Background(), values, d.Indices())
	}
}

// castTimestamp makes microseconds in UTC, as which all formats here read timestamps without a zone. Nanoseconds stay:
// cutting them off would lose something.
func castTimestamp(t *arrow.TimestampType) (arrow.DataType, cast) {
	to := &arrow.TimestampType{Unit: t.Unit, TimeZone: "UTC"}
	if t.Unit == arrow.Microsecond || t.Unit == arrow.Nanosecond {
		return to, view(to)
	}
	to.Unit = arrow.Microsecond
	factor := int64(t.Unit.Multiplier() / arrow.Microsecond.Multiplier())
	return to, func(a arrow.Array) (arrow.Array, error) {
		b := array.NewTimestampBuilder(memory.DefaultAllocator, to)
		defer b.Release()
		b.Reserve(a.Len())
		for i, v := range a.(*array.Timestamp).Values() {
			switch {
			case a.IsNull(i):
				b.UnsafeAppendBoolToBitmap(false)
			case int64(v) > math.MaxInt64/factor || int64(v) < math.MinInt64/factor:
				return nil, batch.Errorf(batch.CodeSchema, nil, "a timestamp is too far away to be counted in microseconds")
			default:
				b.UnsafeAppend(v * arrow.Timestamp(factor))
			}
		}
		return b.NewArray(), nil
	}
}

func date64ToDate32(a arrow.Array) (arrow.Array, error) {
	b := array.NewDate32Builder(memory.DefaultAllocator)
	defer b.Release()
	for i, v := range a.(*array.Date64).Values() {
		day, _ := floorDivide(int64(v), secondsPerDay*1000)
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(arrow.Date32(day))
		}
	}
	return b.NewArray(), nil
}

// validText replaces what is not UTF-8: one such value makes readers refuse a whole file. Text that is in order, as
// nearly all is, costs one pass over its bytes.
func validText(a arrow.Array) (arrow.Array, error) {
	text := a.(array.StringLike)
	if isValidText(text) {
		a.Retain()
		return a, nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, a.DataType()).(array.StringLikeBuilder)
	defer b.Release()
	appendTexts(b, text)
	return b.NewArray(), nil
}

func isValidText(text array.StringLike) bool {
	if all, ok := text.(array.BinaryLike); ok && utf8.Valid(all.ValueBytes()) && startsRunes(all) {
		return true
	}
	for i := range text.Len() {
		if text.IsValid(i) && !utf8.ValidString(text.Value(i)) {
			return false
		}
	}
	return true
}

// startsRunes says whether every value of texts that are valid together begins with a whole rune: then so does what
// follows each of them, and each is valid by itself.
func startsRunes(all array.BinaryLike) bool {
	if all.Len() == 0 {
		return true
	}
	body, first := all.ValueBytes(), all.ValueOffset64(0)
	for i := range all.Len() {
		at := all.ValueOffset64(i) - first
		if at < int64(len(body)) && !utf8.RuneStart(body[at]) {
			return false
		}
	}
	return true
}

func viewToString(a arrow.Array) (arrow.Array, error) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	appendTexts(b, a.(array.StringLike))
	return b.NewArray(), nil
}

func appendTexts(b array.StringLikeBuilder, text array.StringLike) {
	for i := range text.Len() {
		switch {
		case text.IsNull(i):
			b.AppendNull()
		case utf8.ValidString(text.Value(i)):
			b.Append(text.Value(i))
		default:
			b.Append(string(appendUTF8(nil, text.Value(i))))
		}
	}
}

func viewToBinary(a arrow.Array) (arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	defer b.Release()
	values := a.(*array.BinaryView)
	for i := range values.Len() {
		if values.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(values.Value(i))
		}
	}
	return b.NewArray(), nil
}

func widenDecimal[T decimal.Decimal32 | decimal.Decimal64](to *arrow.Decimal128Type) cast {
	return func(a arrow.Array) (arrow.Array, error) {
		b := array.NewDecimal128Builder(memory.DefaultAllocator, to)
		defer b.Release()
		for i, v := range valuesOf[T](a) {
			if a.IsNull(i) {
				b.AppendNull()
			} else {
				b.Append(decimal128.FromI64(int64(v)))
			}
		}
		return b.NewArray(), nil
	}
}
