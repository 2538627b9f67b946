package encode

import (
	"bytes"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet"
)

const (
	// pageBytes and pageRows end a page, which is what is compressed at once.
	pageBytes = 1 << 20
	pageRows  = 32 << 10
	// levelRoom is kept free before the values of a page for its levels, which are known when it is full: their length,
	// the head of a run, and a bit for each row.
	levelRoom = 4 + 4 + pageRows/8
	// firstPage is the room that a page begins with; it grows as it must, and the next page has it from the start.
	firstPage = 16 << 10
)

// A page is a part of a column.
type page struct {
	body     []byte // room for levels, then values
	rows     int
	nulls    int
	absent   *[pageRows / 8]byte // a bit for each null row; nil until there is one
	encoding parquet.Encoding

	raw   int    // bytes of levels and values
	coded []byte // header and compressed body
}

// null adds a null.
func (p *page) null() {
	if p.absent == nil {
		p.absent = new([pageRows / 8]byte)
	}
	p.absent[p.rows/8] |= 1 << (p.rows % 8)
	p.nulls++
	p.rows++
}

// close puts the levels before the values: a 1 for each row that has one.
func (p *page) close() {
	var room [levelRoom]byte
	levels := room[:4]
	switch p.nulls {
	case 0, p.rows: // one run
		levels = binary.AppendUvarint(levels, uint64(p.rows)<<1)
		if p.nulls == 0 {
			levels = append(levels, 1)
		} else {
			levels = append(levels, 0)
		}
	default:
		groups := (p.rows + 7) / 8
		levels = binary.AppendUvarint(levels, uint64(groups)<<1|1)
		for _, absent := range p.absent[:groups] {
			levels = append(levels, ^absent)
		}
	}
	binary.LittleEndian.PutUint32(levels, uint32(len(levels)-4))
	p.body = p.body[levelRoom-len(levels):]
	copy(p.body, levels)
	p.raw = len(p.body)
}

// appendPageHeader appends Parquet's PageHeader in Thrift's compact protocol. Fields are their difference to the
// field before and their type.
func appendPageHeader(b []byte, p *page, compressed int) []byte {
	const (
		i32          = 5
		structure    = 12
		dataPage     = 0
		dataHeader   = 5 // after the third field
		levelsAreRLE = int64(3)
	)
	integer := func(v int64) { b = binary.AppendVarint(append(b, 1<<4|i32), v) }
	integer(dataPage)
	integer(int64(p.raw))
	integer(int64(compressed))
	b = append(b, (dataHeader-3)<<4|structure)
	integer(int64(p.rows))
	integer(int64(p.encoding))
	integer(levelsAreRLE)
	integer(levelsAreRLE)
	return append(b, 0, 0)
}

// appendDictionaryHeader appends the PageHeader of a dictionary.
func appendDictionaryHeader(b []byte, values, raw, compressed int) []byte {
	const (
		i32              = 5
		structure        = 12
		dictionaryPage   = 2
		dictionaryHeader = 7 // after the third field
	)
	integer := func(v int) { b = binary.AppendVarint(append(b, 1<<4|i32), int64(v)) }
	integer(dictionaryPage)
	integer(raw)
	integer(compressed)
	b = append(b, (dictionaryHeader-3)<<4|structure)
	integer(values)
	integer(int(parquet.Encodings.Plain))
	return append(b, 0, 0)
}

// A bound is the smallest and the largest value of a column, as statistics have them.
type bound struct {
	min, max []byte // plain encoding, without length; nil = none
}

// A textBound follows the bounds of texts. Most values are decided by their first eight bytes.
type textBound struct {
	bound
	minHead, maxHead uint64
	off              bool // values are too long to be of use to anyone
}

// statBytes is the longest text that is kept as a bound.
const statBytes = 256

// head is the first eight bytes as a number that sorts as they do.
func head(v []byte) uint64 {
	if len(v) >= 8 {
		return binary.BigEndian.Uint64(v)
	}
	var first [8]byte
	copy(first[:], v)
	return binary.BigEndian.Uint64(first[:])
}

func (t *textBound) see(v []byte) {
	h := head(v)
	if t.off || h > t.minHead && h < t.maxHead {
		return
	}
	if t.min == nil || bytes.Compare(v, t.min) < 0 {
		t.min, t.minHead = append(make([]byte, 0, len(v)), v...), h
	}
	if t.max == nil || bytes.Compare(v, t.max) > 0 {
		t.max, t.maxHead = append(make([]byte, 0, len(v)), v...), h
	}
	t.off = t.off || len(t.min) > statBytes || len(t.max) > statBytes
}
