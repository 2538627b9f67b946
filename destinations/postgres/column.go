package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/destinations/tables"
)

// A writer appends the values of one column of the table in the binary form of COPY. It is chosen once per split and
// bound once per batch, so that a row costs neither reflection nor an allocation.
type writer interface {
	bind(a arrow.Array)
	// null says that value i is null.
	null(i int) bool
	// append appends value i, which is not null, without its length.
	append(b []byte, i int) ([]byte, error)
}

// A column fills one column of the table from one field of what is read.
type column struct {
	writer
	target targetColumn
	index  int // of the field; -1 = none
}

// nullLength is the length that stands for null.
const nullLength = math.MaxUint32

// append appends value i with its length.
func (c *column) append(b []byte, i int) ([]byte, error) {
	if c.null(i) {
		return binary.BigEndian.AppendUint32(b, nullLength), nil
	}
	start := len(b)
	b, err := c.writer.append(append(b, 0, 0, 0, 0), i)
	if err != nil {
		return b, err
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4)) //nolint:gosec // a batch is far smaller
	return b, nil
}

// columnsFor plans how the table is filled. Columns that the table lacks are left out.
func columnsFor(m model, t target, cleaner *tables.Cleaner) ([]*column, error) {
	if err := t.check(m); err != nil {
		return nil, err
	}
	var columns []*column
	objects := map[int]*object{}
	for _, c := range m.Columns {
		to, ok := t.column(c.Name)
		if !ok {
			continue
		}
		form, err := m.form(c, to)
		if err != nil {
			return nil, err
		}
		planned := &column{target: to, index: -1}
		if c.Field == "" {
			planned.writer = emptyWriter{}
			columns = append(columns, planned)
			continue
		}
		found := m.read.FieldIndices(string(c.Field))
		if len(found) == 0 {
			return nil, unread(c)
		}
		planned.index = found[0]
		if c.Member != "" {
			shared, ok := objects[found[0]]
			if !ok {
				shared = &object{row: -1}
				objects[found[0]] = shared
			}
			planned.writer = &memberWriter{object: shared, member: shared.member(c.Member), cleaner: cleaner, form: form, json: c.Type == tables.JSON}
		} else if planned.writer, ok = writerOf(m.read.Field(found[0]), c, to, form, cleaner); !ok {
			return nil, batch.Errorf(batch.CodeInternal, nil, "the column %q cannot be filled with %s", c.Name, m.read.Field(found[0]).Type)
		}
		columns = append(columns, planned)
	}
	return columns, nil
}

// writerOf returns what writes an Arrow type in a form.
func writerOf(f arrow.Field, c tables.Column, to targetColumn, form form, cleaner *tables.Cleaner) (writer, bool) {
	switch f.Type.ID() { //nolint:exhaustive // the default says what becomes of the others
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		kind, _ := typeOf(f) // which are the types of text
		if c.Type == tables.JSON && kind != tables.JSON {
			return &quotedWriter{textWriter{cleaner: cleaner}, form}, true
		}
		switch {
		case c.Type == tables.JSON:
			return &jsonWriter{textWriter{cleaner: cleaner}, form}, true
		case form == uuidForm:
			return &uuidWriter{textWriter: textWriter{cleaner: cleaner}, name: c.Name}, true
		case form == textForm:
			return &textWriter{cleaner: cleaner}, true
		}
		return nil, false
	case arrow.TIMESTAMP:
		return &instantWriter{unit: f.Type.(*arrow.TimestampType).Unit}, form == instantForm
	case arrow.BOOL:
		return &boolWriter{}, form == boolForm
	case arrow.DATE32:
		return &dateWriter{}, form == dateForm
	case arrow.LIST:
		return &textsWriter{cleaner: cleaner}, form == textsForm
	}
	return numberWriterOf(f.Type.ID(), number{name: c.Name, kind: to.kind, form: form})
}

func numberWriterOf(id arrow.Type, n number) (writer, bool) {
	switch id { //nolint:exhaustive // the default says what becomes of the others
	case arrow.INT8:
		return &intWriter[int8]{number: n}, true
	case arrow.INT16:
		return &intWriter[int16]{number: n}, true
	case arrow.INT32:
		return &intWriter[int32]{number: n}, true
	case arrow.INT64:
		return &intWriter[int64]{number: n}, true
	case arrow.UINT8:
		return &intWriter[uint8]{number: n}, true
	case arrow.UINT16:
		return &intWriter[uint16]{number: n}, true
	case arrow.UINT32:
		return &intWriter[uint32]{number: n}, true
	case arrow.UINT64:
		return &intWriter[uint64]{number: n}, true
	case arrow.FLOAT32:
		return &floatWriter[float32]{form: n.form}, true
	case arrow.FLOAT64:
		return &floatWriter[float64]{form: n.form}, true
	}
	return nil, false
}

// emptyWriter writes the empty text.
type emptyWriter struct{}

func (emptyWriter) bind(arrow.Array)                       {}
func (emptyWriter) null(int) bool                          { return false }
func (emptyWriter) append(b []byte, _ int) ([]byte, error) { return b, nil }

type textWriter struct {
	array   array.StringLike
	cleaner *tables.Cleaner
}

func (w *textWriter) bind(a arrow.Array) { w.array = a.(array.StringLike) }
func (w *textWriter) null(i int) bool    { return w.array.IsNull(i) }
func (w *textWriter) append(b []byte, i int) ([]byte, error) {
	return w.cleaner.Text(b, w.array.Value(i)), nil
}

// jsonbVersion is what the binary form of jsonb begins with.
const jsonbVersion = 1

func appendVersion(b []byte, f form) []byte {
	if f == jsonbForm {
		return append(b, jsonbVersion)
	}
	return b
}

type jsonWriter struct {
	textWriter
	form form
}

// null holds for the empty text too, which sources use for JSON that is not there.
func (w *jsonWriter) null(i int) bool { return w.array.IsNull(i) || w.array.Value(i) == "" }

func (w *jsonWriter) append(b []byte, i int) ([]byte, error) {
	return w.cleaner.JSON(appendVersion(b, w.form), w.array.Value(i)), nil
}

// quotedWriter writes text into a column of JSON.
type quotedWriter struct {
	textWriter
	form form
}

func (w *quotedWriter) append(b []byte, i int) ([]byte, error) {
	return w.cleaner.Quoted(appendVersion(b, w.form), w.array.Value(i)), nil
}

type uuidWriter struct {
	textWriter
	name string
	hex  [32]byte
}

func (w *uuidWriter) append(b []byte, i int) ([]byte, error) {
	text := w.array.Value(i)
	if len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' {
		digits := append(append(append(append(append(w.hex[:0], text[:8]...), text[9:13]...), text[14:18]...), text[19:23]...), text[24:]...)
		if b, err := hex.AppendDecode(b, digits); err == nil {
			return b, nil
		}
	}
	return b, batch.Errorf(batch.CodeSchema, nil, "the column %q of the table holds UUIDs, but a row has another text there", w.name)
}

type boolWriter struct{ array *array.Boolean }

func (w *boolWriter) bind(a arrow.Array) { w.array = a.(*array.Boolean) }
func (w *boolWriter) null(i int) bool    { return w.array.IsNull(i) }
func (w *boolWriter) append(b []byte, i int) ([]byte, error) {
	if w.array.Value(i) {
		return append(b, 1), nil
	}
	return append(b, 0), nil
}

// epoch is the instant that PostgreSQL counts microseconds from, in Unix's.
const epoch = 946_684_800_000_000

type instantWriter struct {
	array  arrow.Array
	values []arrow.Timestamp
	unit   arrow.TimeUnit
}

func (w *instantWriter) bind(a arrow.Array) {
	w.array, w.values = a, a.(*array.Timestamp).TimestampValues()
}
func (w *instantWriter) null(i int) bool { return w.array.IsNull(i) }
func (w *instantWriter) append(b []byte, i int) ([]byte, error) {
	return binary.BigEndian.AppendUint64(b, uint64(micros(int64(w.values[i]), w.unit)-epoch)), nil //nolint:gosec // two's complement
}

// epochDay is the day that PostgreSQL counts days from, in Unix's.
const epochDay = 10_957

type dateWriter struct{ array *array.Date32 }

func (w *dateWriter) bind(a arrow.Array) { w.array = a.(*array.Date32) }
func (w *dateWriter) null(i int) bool    { return w.array.IsNull(i) }
func (w *dateWriter) append(b []byte, i int) ([]byte, error) {
	return binary.BigEndian.AppendUint32(b, uint32(w.array.Value(i)-epochDay)), nil //nolint:gosec // two's complement
}

// micros turns an instant into microseconds, the earlier one.
func micros(at int64, unit arrow.TimeUnit) int64 {
	switch unit {
	case arrow.Second:
		return at * 1_000_000
	case arrow.Millisecond:
		return at * 1000
	case arrow.Nanosecond:
		return (at - (at%1000+1000)%1000) / 1000
	case arrow.Microsecond:
	}
	return at
}

// textsWriter writes lists of text as arrays of one dimension.
type textsWriter struct {
	list    *array.List
	values  array.StringLike
	cleaner *tables.Cleaner
}

func (w *textsWriter) bind(a arrow.Array) {
	w.list = a.(*array.List)
	w.values = w.list.ListValues().(array.StringLike)
}
func (w *textsWriter) null(i int) bool { return w.list.IsNull(i) }
func (w *textsWriter) append(b []byte, i int) ([]byte, error) {
	const textOID, hasNulls, firstIndex = 25, 1, 1
	start, end := w.list.ValueOffsets(i)
	if start == end {
		return binary.BigEndian.AppendUint32(append(b, make([]byte, 8)...), textOID), nil
	}
	for _, n := range []uint32{1, hasNulls, textOID, uint32(end - start), firstIndex} { //nolint:gosec // a batch is far smaller
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for at := int(start); at < int(end); at++ {
		if w.values.IsNull(at) {
			b = binary.BigEndian.AppendUint32(b, nullLength)
			continue
		}
		from := len(b)
		b = w.cleaner.Text(append(b, 0, 0, 0, 0), w.values.Value(at))
		binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4)) //nolint:gosec // a batch is far smaller
	}
	return b, nil
}
