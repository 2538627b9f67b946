package duckdb

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

// parseCSV reads a file with a header (RFC 4180). An empty cell is as if it were not there.
func parseCSV(_ context.Context, path string, l layout, emit func(int64, cells) error) error {
	text, err := openText(path)
	if err != nil {
		return &LoadError{File: path, Err: err}
	}
	defer text.Close()
	records := newRecordReader(text)
	header, err := records.next()
	if errors.Is(err, io.EOF) {
		return &LoadError{File: path, Err: errors.New("it has no header")}
	}
	if err != nil {
		return &LoadError{File: path, Err: err}
	}
	columns, err := csvColumns(l, header)
	if err != nil {
		return &LoadError{File: path, Err: err}
	}
	found := make(cells, len(l))
	for row := int64(1); ; row++ {
		record, err := records.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &LoadError{File: path, Row: row, Err: err}
		}
		clear(found)
		for i, column := range columns {
			if column >= 0 && record[i] != "" {
				found[column] = cell{text: []byte(record[i]), set: true}
			}
		}
		if err := emit(row, found); err != nil {
			return err
		}
	}
}

// csvColumns says which cell each column of the file is; -1 = none of ours.
func csvColumns(l layout, header []string) ([]int, error) {
	const byteOrderMark = "\ufeff"
	columns := make([]int, len(header))
	seen := make([]bool, len(l))
	for i, name := range header {
		if i == 0 && len(name) > len(byteOrderMark) && name[:len(byteOrderMark)] == byteOrderMark {
			name = name[len(byteOrderMark):]
		}
		column, ok := l.find(name)
		if !ok {
			columns[i] = -1
			continue
		}
		if seen[column] {
			return nil, fmt.Errorf("its header names %s twice", name)
		}
		columns[i], seen[column] = column, true
	}
	if name, ok := l.missing(seen); ok {
		return nil, fmt.Errorf("its header lacks the column %s", name)
	}
	return columns, nil
}

// recordReader reads CSV records of bounded size.
type recordReader struct {
	csv    *csv.Reader
	from   io.Reader
	passed int64 // bytes that the CSV reader has taken
}

func newRecordReader(from io.Reader) *recordReader {
	r := &recordReader{from: from}
	r.csv = csv.NewReader(bufio.NewReaderSize(r, readBuffer))
	r.csv.ReuseRecord = true
	return r
}

// next returns the fields of a record, valid until the next call; io.EOF after the last.
func (r *recordReader) next() ([]string, error) {
	record, err := r.csv.Read()
	if err == nil || errors.Is(err, io.EOF) {
		return record, err
	}
	if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, syntax.Err
	}
	return nil, describeRead(err)
}

// Read passes bytes on to the CSV reader, unless they are too many for one record.
func (r *recordReader) Read(p []byte) (int, error) {
	if r.passed-r.csv.InputOffset() > maxRowBytes {
		return 0, errRowTooLong
	}
	n, err := r.from.Read(p)
	r.passed += int64(n)
	return n, err
}
