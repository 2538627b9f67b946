package duckdb

import (
	"fmt"
	"unicode/utf8"

	"tranche/query"
)

// A layout is the columns of a file that are read, in the order of their cells; others are ignored.
type layout []layoutColumn

type layoutColumn struct {
	name query.Field
	kind query.Type
	// required says that no row is without a value.
	required bool
}

// find finds a column by its name in a file, which is matched exactly.
func (l layout) find(name string) (int, bool) {
	for i, c := range l {
		if string(c.name) == name {
			return i, true
		}
	}
	return 0, false
}

// missing names a column that is required and that was not seen; false = there is none.
func (l layout) missing(seen []bool) (query.Field, bool) {
	for i, c := range l {
		if c.required && !seen[i] {
			return c.name, true
		}
	}
	return "", false
}

// A cell is the text of one column of one row; without a value it is as if the column were not there.
type cell struct {
	text []byte
	set  bool
}

// cells are a row as it stands in a file, whatever the format, in the order of a layout.
type cells []cell

// check refuses what is no text, and rows that lack what is required.
func (c cells) check(l layout) error {
	for i := range c {
		if c[i].set && !utf8.Valid(c[i].text) {
			return fmt.Errorf("%s is not valid UTF-8", l[i].name)
		}
	}
	for i := range c {
		if l[i].required && !c[i].set {
			return fmt.Errorf("%s is missing", l[i].name)
		}
	}
	return nil
}
