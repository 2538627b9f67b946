package postgres

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/destinations/tables"
	"tranche/encode"
)

// An object finds members of the JSON objects of one field. The columns that are filled from it share one look at a row.
type object struct {
	array     array.StringLike
	validator encode.Validator
	keys      []string
	values    []string // of the row, in the order of keys; empty = it has none
	row       int
}

// member returns the number of the member.
func (o *object) member(key string) int {
	o.keys, o.values = append(o.keys, key), append(o.values, "")
	return len(o.keys) - 1
}

// value returns the text of the member of row i, or nothing.
func (o *object) value(member, i int) string {
	if o.row != i {
		o.read(i)
	}
	return o.values[member]
}

func (o *object) read(i int) {
	o.row = i
	clear(o.values)
	if o.array.IsNull(i) {
		return
	}
	text := o.array.Value(i)
	if !o.validator.Valid(text) {
		return
	}
	encode.Members(text, o.keep)
}

// keep is given every member; the last of those with one name counts, as in jsonb.
func (o *object) keep(key, value string) bool {
	if at := slices.Index(o.keys, key); at >= 0 && value != "null" {
		o.values[at] = value
	}
	return true
}

// memberWriter writes a member of a JSON object: JSON as it is, and of text what is between its quotes.
type memberWriter struct {
	*object
	member  int
	cleaner *tables.Cleaner
	form    form
	json    bool
}

func (w *memberWriter) bind(a arrow.Array) { w.array, w.row = a.(array.StringLike), -1 }

// null holds for a member that is not there, and for text that is empty or none.
func (w *memberWriter) null(i int) bool {
	value := w.value(w.member, i)
	return value == "" || !w.json && (value[0] != '"' || value == `""`)
}

func (w *memberWriter) append(b []byte, i int) ([]byte, error) {
	value := w.value(w.member, i)
	if w.json {
		return w.cleaner.JSON(appendVersion(b, w.form), value), nil
	}
	return w.cleaner.Unquote(b, value), nil
}
