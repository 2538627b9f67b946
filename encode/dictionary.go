package encode

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unsafe"
)

const (
	// dictionaryTrial is after how many values a dictionary must have shown that it pays.
	dictionaryTrial = 1024
	// dictionaryValues and dictionaryBytes are the most that a dictionary may hold; what does not fit is written plain.
	dictionaryValues = 16 << 10
	dictionaryBytes  = 1 << 20
)

// A dictionary numbers the values of a column within a row group.
type dictionary struct {
	numbers map[string]uint32
	body    []byte   // the values in plain encoding
	starts  []uint32 // where each begins in body
	seen    int
}

func newDictionary() *dictionary { return &dictionary{numbers: make(map[string]uint32)} }

// number returns the number of a value, a new one if it has none. False says that the dictionary does not pay, or is
// full: the value has no number.
func (d *dictionary) number(v []byte) (uint32, bool) {
	d.seen++
	if n, ok := d.numbers[unsafe.String(unsafe.SliceData(v), len(v))]; ok {
		return n, true
	}
	known := len(d.starts)
	if d.seen >= dictionaryTrial && !d.pays() || known == dictionaryValues || len(d.body)+4+len(v) > dictionaryBytes {
		return 0, false
	}
	d.numbers[strings.Clone(unsafe.String(unsafe.SliceData(v), len(v)))] = uint32(known)
	d.starts = append(d.starts, uint32(len(d.body)))
	d.body = appendPlain(d.body, v)
	return uint32(known), true
}

// pays says whether values come again and again.
func (d *dictionary) pays() bool { return 2*len(d.starts) < d.seen }

// value returns the plain encoding of the value with the number.
func (d *dictionary) value(n uint32) []byte {
	if int(n)+1 < len(d.starts) {
		return d.body[d.starts[n]:d.starts[n+1]]
	}
	return d.body[d.starts[n]:]
}

func (d *dictionary) clear() {
	clear(d.numbers)
	d.body, d.starts, d.seen = d.body[:0], d.starts[:0], 0
}

// appendPlain appends a value in plain encoding.
func appendPlain(b, v []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// appendNumbers appends a page's numbers of a dictionary: how many bits each has, and one run of them.
func appendNumbers(b []byte, numbers []uint32) []byte {
	var all uint32
	same := true
	for _, n := range numbers {
		all |= n
		same = same && n == numbers[0]
	}
	width := max(bits.Len32(all), 1)
	b = append(b, byte(width))
	if same && len(numbers) > 0 {
		b = binary.AppendUvarint(b, uint64(len(numbers))<<1)
		for left := width; left > 0; left -= 8 {
			b = append(b, byte(numbers[0]>>(width-left)))
		}
		return b
	}
	groups := (len(numbers) + 7) / 8
	b = binary.AppendUvarint(b, uint64(groups)<<1|1)
	var held uint64
	filled := 0
	for i := range groups * 8 {
		if i < len(numbers) {
			held |= uint64(numbers[i]) << filled
		}
		for filled += width; filled >= 8; filled -= 8 {
			b = append(b, byte(held))
			held >>= 8
		}
	}
	return b
}
