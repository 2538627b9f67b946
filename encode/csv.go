package encode

import (
	"io"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// csvLines writes RFC 4180 with a header. Null is an empty cell and empty text a quoted one; values that nest are
// their JSON text.
type csvLines struct {
	*stream
	cells []*cell
}

func newCSV(w io.Writer, schema *arrow.Schema, c Compression) *csvLines {
	e := &csvLines{stream: newStream(w, c)}
	for i, f := range schema.Fields() {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = appendCell(e.buf, f.Name)
		e.cells = append(e.cells, cellOf(f))
	}
	e.buf = append(e.buf, "\r\n"...)
	return e
}

// Write is the Encoder's.
func (e *csvLines) Write(rows arrow.RecordBatch) error {
	for i, c := range e.cells {
		c.bind(rows.Column(i))
	}
	for i := range int(rows.NumRows()) {
		start := len(e.buf)
		for j, c := range e.cells {
			if j > 0 {
				e.buf = append(e.buf, ',')
			}
			e.buf = c.append(e.buf, i)
		}
		if len(e.buf) == start { // readers skip empty lines, and the row with them
			e.buf = append(e.buf, `""`...)
		}
		e.buf = append(e.buf, "\r\n"...)
		if err := e.flushFull(); err != nil {
			return err
		}
	}
	return nil
}

// Close is the Encoder's.
func (e *csvLines) Close() error { return e.close() }

// Discard is the Encoder's.
func (e *csvLines) Discard() { e.press.discard() }

// Size is the Encoder's.
func (e *csvLines) Size() int64 { return e.size() }

// A cell writes the values of one column as CSV; null is nothing.
type cell struct {
	column
	array arrow.Array
	nulls bool
}

func (c *cell) bind(a arrow.Array) {
	c.array, c.nulls = a, a.NullN() != 0
	c.column.bind(a)
}

func (c *cell) append(b []byte, i int) []byte {
	if c.nulls && c.array.IsNull(i) {
		return b
	}
	return c.column.append(b, i)
}

// cellOf returns the cell for a field whose type Check accepts.
func cellOf(f arrow.Field) *cell { return &cell{column: plainCell(f)} }

func plainCell(f arrow.Field) column {
	switch t := f.Type.(type) {
	case arrow.ExtensionType:
		return &extensionColumn{column: plainCell(arrow.Field{Type: t.StorageType()})}
	case *arrow.DictionaryType:
		return &dictionaryColumn{values: cellOf(arrow.Field{Type: t.ValueType})}
	case arrow.NestedType:
		return &nestedCell{column: plainColumn(f)}
	}
	switch f.Type.ID() { //nolint:exhaustive // the rest is as in JSON, but for quotes
	case arrow.NULL:
		return emptyCell{}
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return &textCell{}
	case arrow.FLOAT16:
		return &float16Column{words: true}
	case arrow.FLOAT32:
		return &floatColumn[float32]{bits: 32, words: true}
	case arrow.FLOAT64:
		return &floatColumn[float64]{bits: 64, words: true}
	}
	return &scalarCell{column: plainColumn(f)}
}

type emptyCell struct{}

func (emptyCell) bind(arrow.Array)              {}
func (emptyCell) append(b []byte, _ int) []byte { return b }

type textCell struct{ array array.StringLike }

func (c *textCell) bind(a arrow.Array)            { c.array = a.(array.StringLike) }
func (c *textCell) append(b []byte, i int) []byte { return appendCell(b, c.array.Value(i)) }

// A scalarCell writes a value as in JSON, without quotes: nothing in it needs any.
type scalarCell struct{ column }

func (c *scalarCell) append(b []byte, i int) []byte {
	start := len(b)
	b = c.column.append(b, i)
	if b[start] != '"' {
		return b
	}
	b = append(b[:start], b[start+1:]...)
	return b[:len(b)-1]
}

// A nestedCell writes a value as its JSON text.
type nestedCell struct {
	column
	scratch []byte
}

func (c *nestedCell) append(b []byte, i int) []byte {
	c.scratch = c.column.append(c.scratch[:0], i)
	return appendQuoted(b, unsafe.String(unsafe.SliceData(c.scratch), len(c.scratch)))
}

// What a byte of a text means to a CSV cell.
var cellClass = func() (class [256]uint8) {
	for c := range class {
		if c >= utf8.RuneSelf {
			class[c] = multi
		}
	}
	for _, c := range "\",\r\n" {
		class[c] = escape
	}
	return class
}()

// appendCell appends text, in quotes if it needs them. Empty text has them, so that it is not taken for null, and so
// has text with spaces at its ends, which some readers trim.
func appendCell(b []byte, s string) []byte {
	var seen uint8
	for i := range len(s) {
		seen |= cellClass[s[i]]
	}
	if seen&multi != 0 && !utf8.ValidString(s) {
		s = string(appendUTF8(nil, s))
	}
	if seen&escape != 0 || s == "" || s[0] <= ' ' || s[len(s)-1] <= ' ' {
		return appendQuoted(b, s)
	}
	return append(b, s...)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		quote := strings.IndexByte(s, '"')
		if quote < 0 {
			b = append(b, s...)
			return append(b, '"')
		}
		b = append(b, s[:quote+1]...)
		b = append(b, '"')
		s = s[quote+1:]
	}
}
