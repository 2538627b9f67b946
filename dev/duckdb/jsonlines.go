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
func parseJSONLines(_ context.Context, path string, emit func(int64, *cells) error) error {
	text, err := openText(path)
	if err != nil {
		return &LoadError{File: path, Err: err}
	}
	defer text.Close()
	lines := lineReader{from: bufio.NewReaderSize(text, readBuffer)}
	for row := int64(1); ; row++ {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &LoadError{File: path, Row: row, Err: describeRead(err)}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		found, err := jsonCells(line)
		if err != nil {
			return &LoadError{File: path, Row: row, Err: err}
		}
		if err := emit(row, &found); err != nil {
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

// jsonCells takes a line apart. Nested values stay as they are, byte for byte.
func jsonCells(line []byte) (cells, error) {
	// The decoder would put a replacement character for what is not UTF-8.
	if !utf8.Valid(line) {
		return cells{}, errors.New("it is not valid UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return cells{}, errors.New("it is not a JSON object")
		}
		return cells{}, fmt.Errorf("it is not valid JSON: %w", err)
	}
	if members == nil {
		return cells{}, errors.New("it is not a JSON object")
	}
	var row cells
	for i, name := range cellNames {
		value, ok := members[string(name)]
		if !ok || isNull(value) {
			continue
		}
		text, err := jsonText(i, value)
		if err != nil {
			return cells{}, err
		}
		row[i] = cell{text: text, set: true}
	}
	return row, nil
}

// jsonText is the text of a member. JSON columns may be a value, or a string that holds one, as databases export it;
// team_id is a number; the others are strings.
func jsonText(column int, value []byte) ([]byte, error) {
	isString := value[0] == '"'
	switch column {
	case cellTeamID:
		return value, nil
	case cellProperties, cellPersonProperties:
		if !isString {
			return value, nil
		}
	default:
		if !isString {
			return nil, fmt.Errorf("%s is not a string", cellNames[column])
		}
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("%s is not a string: %w", cellNames[column], err)
	}
	return []byte(text), nil
}

// isNull says whether a JSON value is null.
func isNull(value []byte) bool { return bytes.Equal(value, []byte("null")) }
