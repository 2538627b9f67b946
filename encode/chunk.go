package encode

import (
	"bytes"
	"cmp"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// A chunk is one column of the open row group. Its pages are compressed as soon as they are full.
type chunk interface {
	// add adds the rows [from, to) of an array.
	add(a arrow.Array, from, to int) error
	// end hands on the last page, and forgets the bounds, which it returns.
	end() (bound, error)
	// shared is what all kinds of chunks have.
	shared() *pages
}

// pages are the pages of a chunk.
type pages struct {
	file       *parquetFile
	open       *page
	done       []*page
	nulls      int
	plain      int         // pages that are not numbers of the dictionary
	dictionary *dictionary // nil = none

	raw          int // bytes of pages that were handed on
	paged, coded int // bytes of pages that are compressed, in the whole file, before and after
	trial        float64
	tried        int // bytes of the values in the trial
}

func (p *pages) shared() *pages { return p }

// current returns the page that rows are added to.
func (p *pages) current() *page {
	if p.open == nil {
		p.open = &page{body: p.file.room(), encoding: parquet.Encodings.Plain}
	}
	return p.open
}

// flush hands the open page on.
func (p *pages) flush() error {
	done := p.open
	if done == nil {
		return nil
	}
	p.open = nil
	p.nulls += done.nulls
	p.done = append(p.done, done)
	if done.encoding == parquet.Encodings.Plain {
		p.plain++
	}
	err := p.file.compress(done, p)
	p.raw += done.raw
	return err
}

const (
	// columnGuess is how much shorter a column is expected to get while there is little of it.
	columnGuess = 0.5
	// trialBytes is when that is tried out while there is no whole page, and again with four times as much.
	trialBytes = 64 << 10
)

// size estimates how long the chunk would be if it ended now.
func (p *pages) size() int64 {
	raw := p.raw
	if p.dictionary != nil {
		raw += len(p.dictionary.body)
	}
	if p.open != nil {
		values := p.open.body[levelRoom:]
		raw += len(values)
		if p.paged == 0 && len(values) >= max(trialBytes, 4*p.tried) {
			p.tried = len(values)
			p.trial = float64(len(p.file.codec.compress(nil, values))) / float64(len(values))
		}
	}
	ratio := columnGuess
	switch {
	case p.paged > 0:
		ratio = float64(p.coded) / float64(p.paged)
	case p.trial > 0:
		ratio = p.trial
	}
	return int64(float64(raw) * ratio)
}

// write writes the pages to the file and describes them.
func (p *pages) write(about *metadata.ColumnChunkMetaDataBuilder, bounds bound) error {
	start := p.file.written.n
	info := metadata.ChunkMetaInfo{IndexPageOffset: -1, DataPageOffset: start}
	stats := metadata.EncodingStats{DictEncodingStats: map[parquet.Encoding]int32{}, DataEncodingStats: map[parquet.Encoding]int32{}}
	hasDictionary := p.plain < len(p.done)
	if hasDictionary {
		coded := p.file.codec.compress(nil, p.dictionary.body)
		header := appendDictionaryHeader(nil, len(p.dictionary.starts), len(p.dictionary.body), len(coded))
		if err := p.file.put(header, coded); err != nil {
			return err
		}
		info.DictPageOffset, info.DataPageOffset = start, p.file.written.n
		info.UncompressedSize += int64(len(header) + len(p.dictionary.body))
		stats.DictEncodingStats[parquet.Encodings.Plain]++
	}
	for _, done := range p.done {
		info.NumValues += int64(done.rows)
		info.UncompressedSize += int64(done.raw)
		stats.DataEncodingStats[done.encoding]++
		if err := p.file.put(done.coded); err != nil {
			return err
		}
	}
	info.CompressedSize = p.file.written.n - start
	about.SetStats(statistics(about, bounds, p.nulls))
	p.done, p.nulls, p.plain, p.raw = p.done[:0], 0, 0, 0
	if p.dictionary != nil {
		p.dictionary.clear()
	}
	return about.Finish(info, hasDictionary, hasDictionary && stats.DataEncodingStats[parquet.Encodings.Plain] > 0, stats)
}

func statistics(about *metadata.ColumnChunkMetaDataBuilder, b bound, nulls int) metadata.EncodedStatistics {
	s := metadata.EncodedStatistics{Signed: isSigned(about.Descr().SortOrder())}
	s.SetNullCount(int64(nulls))
	if b.min != nil {
		s.SetMin(b.min)
		s.SetMax(b.max)
	}
	return s
}

// A textChunk holds texts or bytes.
type textChunk struct {
	pages
	bounds   *textBound // nil = nobody asks for them
	numbers  []uint32   // of the open page
	weight   int        // of the open page: its bytes in plain encoding
	numbered bool       // rows get numbers of the dictionary
}

func newTextChunk(file *parquetFile, bounds bool) *textChunk {
	c := &textChunk{pages: pages{file: file, dictionary: newDictionary()}, numbered: true}
	if bounds {
		c.bounds = &textBound{}
	}
	return c
}

func (c *textChunk) add(a arrow.Array, from, to int) error {
	switch a := a.(type) {
	case *array.String:
		return addTexts(c, a, a.ValueOffsets(), a.ValueBytes(), from, to)
	case *array.Binary:
		return addTexts(c, a, a.ValueOffsets(), a.ValueBytes(), from, to)
	case *array.LargeString:
		return addTexts(c, a, a.ValueOffsets(), a.ValueBytes(), from, to)
	}
	large := a.(*array.LargeBinary)
	return addTexts(c, large, large.ValueOffsets(), large.ValueBytes(), from, to)
}

// addTexts adds texts to pages. Values begin where the first offset says.
func addTexts[O int32 | int64](c *textChunk, a arrow.Array, offsets []O, values []byte, from, to int) error {
	nulls := a.NullN() != 0
	for i := from; i < to; {
		p := c.current()
		for last := min(to, i+pageRows-p.rows); i < last && c.weight < pageBytes; i++ {
			if nulls && a.IsNull(i) {
				p.null()
				continue
			}
			v := values[offsets[i]-offsets[0] : offsets[i+1]-offsets[0]]
			if c.bounds != nil {
				c.bounds.see(v)
			}
			if c.numbered {
				if err := c.addNumber(v); err != nil {
					return err
				}
				p = c.current()
			} else {
				p.body = appendPlain(p.body, v)
			}
			c.weight += 4 + len(v)
			p.rows++
		}
		if p.rows == pageRows || c.weight >= pageBytes {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// addNumber adds the number of a value. When the dictionary has no place for it, it adds the value and all that follow
// in plain encoding, in the groups that follow too: they will be like this one.
func (c *textChunk) addNumber(v []byte) error {
	n, ok := c.dictionary.number(v)
	if ok {
		c.numbers = append(c.numbers, n)
		return nil
	}
	if len(c.done) == 0 {
		c.unnumber()
	} else if c.open.rows > 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.numbered = false
	p := c.current()
	p.body = appendPlain(p.body, v)
	return nil
}

// unnumber puts the values of the open page in the place of their numbers. No other page has any.
func (c *textChunk) unnumber() {
	for _, n := range c.numbers {
		c.open.body = append(c.open.body, c.dictionary.value(n)...)
	}
	c.numbers = c.numbers[:0]
	c.dictionary.clear()
}

// flush hands the open page on.
func (c *textChunk) flush() error {
	if c.open == nil {
		return nil
	}
	switch {
	case c.numbered && len(c.done) == 0 && !c.dictionary.pays():
		c.unnumber()
		c.numbered = false
	case c.numbered:
		c.open.body = appendNumbers(c.open.body, c.numbers)
		c.open.encoding = parquet.Encodings.RLEDict
	}
	c.numbers, c.weight = c.numbers[:0], 0
	return c.pages.flush()
}

func (c *textChunk) end() (bound, error) {
	if c.bounds == nil {
		return bound{}, c.flush()
	}
	b := *c.bounds
	*c.bounds = textBound{}
	if b.off {
		b.bound = bound{}
	}
	return b.bound, c.flush()
}

// A number is a type whose values Parquet holds as Arrow does.
type number interface {
	int32 | int64 | uint32 | uint64 | float32 | float64
}

// A numberChunk holds numbers and times.
type numberChunk[T number] struct {
	pages
	some     bool // there is a value that has a place in the order
	min, max T
}

func newNumberChunk[T number](file *parquetFile) chunk {
	return &numberChunk[T]{pages: pages{file: file}}
}

func (c *numberChunk[T]) add(a arrow.Array, from, to int) error {
	data := a.Data()
	var all []T // may be without values if all are null
	if b := data.Buffers()[1]; b != nil && b.Len() > 0 {
		size := int(unsafe.Sizeof(*new(T)))
		all = arrow.GetData[T](b.Bytes()[data.Offset()*size : (data.Offset()+data.Len())*size])
	}
	for from < to {
		p := c.current()
		last := min(to, from+pageRows-p.rows)
		if a.NullN() == 0 {
			values := all[from:last]
			p.body = append(p.body, arrow.GetBytes(values)...)
			p.rows += len(values)
			for _, v := range values {
				c.see(v)
			}
		} else {
			for i := from; i < last; i++ {
				if a.IsNull(i) {
					p.null()
					continue
				}
				p.body = append(p.body, arrow.GetBytes(all[i:i+1])...)
				p.rows++
				c.see(all[i])
			}
		}
		from = last
		if p.rows == pageRows {
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *numberChunk[T]) see(v T) {
	switch {
	case !c.some:
		if v == v { // all but NaN
			c.some, c.min, c.max = true, v, v
		}
	case v < c.min:
		c.min = v
	case v > c.max:
		c.max = v
	}
}

func (c *numberChunk[T]) end() (bound, error) {
	var b bound
	if c.some {
		smallest, largest := zeroes(c.min, c.max)
		b = bound{min: bytes.Clone(arrow.GetBytes([]T{smallest})), max: bytes.Clone(arrow.GetBytes([]T{largest}))}
	}
	c.some = false
	return b, c.flush()
}

// zeroes makes of a bound that is zero the zero that is on the outer side: -0 and 0 are the same to comparisons only.
func zeroes[T cmp.Ordered](smallest, largest T) (T, T) {
	switch s := any(&smallest).(type) {
	case *float64:
		if *s == 0 {
			*s = math.Copysign(0, -1)
		}
	case *float32:
		if *s == 0 {
			*s = float32(math.Copysign(0, -1))
		}
	}
	var zero T
	if largest == zero {
		largest = zero
	}
	return smallest, largest
}
