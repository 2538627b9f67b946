package encode

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
)

// jsonLines writes one object per line.
type jsonLines struct {
	*stream
	row *structColumn
}

func newJSONLines(w io.Writer, schema *arrow.Schema, c Compression) *jsonLines {
	row := &structColumn{keys: keysOf(schema.Fields()), fields: columnsOf(schema.Fields())}
	return &jsonLines{stream: newStream(w, c), row: row}
}

// Write is the Encoder's.
func (e *jsonLines) Write(rows arrow.RecordBatch) error {
	for i, field := range e.row.fields {
		field.bind(rows.Column(i))
	}
	for i := range int(rows.NumRows()) {
		e.buf = append(e.row.append(e.buf, i), '\n')
		if err := e.flushFull(); err != nil {
			return err
		}
	}
	return nil
}

// Close is the Encoder's.
func (e *jsonLines) Close() error { return e.close() }

// Discard is the Encoder's.
func (e *jsonLines) Discard() { e.press.discard() }

// Size is the Encoder's.
func (e *jsonLines) Size() int64 { return e.size() }
