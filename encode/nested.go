package encode

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

type listColumn struct {
	array    array.ListLike
	elements *nullable
}

func (c *listColumn) bind(a arrow.Array) {
	c.array = a.(array.ListLike)
	c.elements.bind(c.array.ListValues())
}

func (c *listColumn) append(b []byte, i int) []byte {
	b = append(b, '[')
	start, end := c.array.ValueOffsets(i)
	for j := start; j < end; j++ {
		if j > start {
			b = append(b, ',')
		}
		b = c.elements.append(b, int(j))
	}
	return append(b, ']')
}

type structColumn struct {
	keys   [][]byte // with what stands before them: {"a": ,"b":
	fields []*nullable
}

func newStructColumn(t *arrow.StructType) *structColumn {
	return &structColumn{keys: keysOf(t.Fields()), fields: columnsOf(t.Fields())}
}

// keysOf prepares what stands before each value of an object.
func keysOf(fields []arrow.Field) [][]byte {
	keys := make([][]byte, len(fields))
	for i, f := range fields {
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		keys[i] = append(appendString([]byte{before}, f.Name), ':')
	}
	return keys
}

func columnsOf(fields []arrow.Field) []*nullable {
	columns := make([]*nullable, len(fields))
	for i, f := range fields {
		columns[i] = columnOf(f)
	}
	return columns
}

func (c *structColumn) bind(a arrow.Array) {
	s := a.(*array.Struct)
	for i, field := range c.fields {
		field.bind(s.Field(i))
	}
}

func (c *structColumn) append(b []byte, i int) []byte {
	if len(c.fields) == 0 {
		return append(b, "{}"...)
	}
	for f, field := range c.fields {
		b = append(b, c.keys[f]...)
		b = field.append(b, i)
	}
	return append(b, '}')
}

// A mapColumn writes maps as objects; keys that are not text become the text of their value.
type mapColumn struct {
	array *array.Map
	keys  *nullable
	items *nullable
}

func (c *mapColumn) bind(a arrow.Array) {
	c.array = a.(*array.Map)
	c.keys.bind(c.array.Keys())
	c.items.bind(c.array.Items())
}

func (c *mapColumn) append(b []byte, i int) []byte {
	b = append(b, '{')
	start, end := c.array.ValueOffsets(i)
	for j := start; j < end; j++ {
		if j > start {
			b = append(b, ',')
		}
		b = c.appendKey(b, int(j))
		b = append(b, ':')
		b = c.items.append(b, int(j))
	}
	return append(b, '}')
}

func (c *mapColumn) appendKey(b []byte, i int) []byte {
	start := len(b)
	b = append(b, '"')
	b = c.keys.append(b, i)
	if b[start+1] == '"' { // already a string: drop our own quote
		return append(b[:start], b[start+1:]...)
	}
	return append(b, '"')
}
