package duckdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"tranche/query"
)

const (
	// maxRowBytes bounds a line of JSON and a record of CSV.
	maxRowBytes = 64 << 20
	readBuffer  = 256 << 10
)

var errRowTooLong = fmt.Errorf("it is longer than %d MiB", maxRowBytes>>20)

// textFile is a file that is unpacked while it is read, if its name says so.
type textFile struct {
	io.Reader
	file *os.File
}

func openText(path string) (*textFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(strings.ToLower(path), ".gz") {
		return &textFile{Reader: f, file: f}, nil
	}
	unpacked, err := gzip.NewReader(bufio.NewReaderSize(f, readBuffer))
	if err != nil {
		return nil, errors.Join(describeRead(err), f.Close())
	}
	return &textFile{Reader: unpacked, file: f}, nil
}

// Close closes the file.
func (f *textFile) Close() error { return f.file.Close() }

// describeRead says in words what is wrong with a packed file.
func describeRead(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the gzip file is cut short")
	case errors.Is(err, io.EOF), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return errors.New("it is not an intact gzip file")
	}
	return err
}

// parseJSONLines reads a JSON object per line; empty lines are passed over.
func parseJSONLines(_ context.Context, path string, l layout, emit func(int64, cells) error) error {
	text, err := openText(path)
	if err != nil {
		return &LoadError{File: path, Err: err}
	}
	defer text.Close()
	row := make(cells, len(l))
	lines := lineReader{from: bufio.NewReaderSize(text, readBuffer)}
	for n := int64(1); ; n++ {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &LoadError{File: path, Row: n, Err: describeRead(err)}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := row.read(l, line); err != nil {
			return &LoadError{File: path, Row: n, Err: err}
		}
		if err := emit(n, row); err != nil {
			return err
		}
	}
}

// lineReader reads lines of bounded length.
type lineReader struct {
	from *bufio.Reader
	long []byte
}

// next returns a line without its end; io.EOF after the last. It is valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.from.ReadSlice('\n')
		if err == nil && len(l.long) == 0 {
			return part[:len(part)-1], nil
		}
		if len(l.long)+len(part) > maxRowBytes {
			return nil, errRowTooLong
		}
		l.long = append(l.long, part...)
		switch {
		case err == nil:
			return l.long[:len(l.long)-1], nil
		case errors.Is(err, io.EOF) && len(l.long) > 0:
			return l.long, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// read takes a line apart. Nested values stay as they are, byte for byte.
func (c cells) read(l layout, line []byte) error {
	clear(c)
	// The decoder would put a replacement character for what is not UTF-8.
	if !utf8.Valid(line) {
		return errors.New("it is not valid UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return errors.New("it is not a JSON object")
		}
		return fmt.Errorf("it is not valid JSON: %w", err)
	}
	if members == nil {
		return errors.New("it is not a JSON object")
	}
	for i, column := range l {
		value, ok := members[string(column.name)]
		if !ok || isNull(value) {
			continue
		}
		text, err := jsonText(column, value)
		if err != nil {
			return err
		}
		c[i] = cell{text: text, set: true}
	}
	return nil
}

// jsonText is the text of a member. JSON columns and lists may be a value, or a string that holds one, as databases export
// it; numbers and booleans are what they are; the others are strings.
func jsonText(column layoutColumn, value []byte) ([]byte, error) {
	isString := value[0] == '"'
	switch column.kind {
	case query.TypeInteger, query.TypeFloat, query.TypeBoolean:
		return value, nil
	case query.TypeJSON, query.TypeStrings:
		if !isString {
			return value, nil
		}
	default:
		if !isString {
			return nil, fmt.Errorf("%s is not a string", column.name)
		}
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("%s is not a string: %w", column.name, err)
	}
	return []byte(text), nil
}

// isNull says whether a JSON value is null.
func isNull(value []byte) bool { return bytes.Equal(value, []byte("null")) }
