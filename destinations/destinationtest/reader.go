package destinationtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/parquet-go/parquet-go"
)

// manifestSuffix is what keys of manifests end in.
const manifestSuffix = "_manifest.json"

// ReadObjects reads all rows of the objects that a reader sees, by key, and makes sure that the manifests list exactly
// those.
func ReadObjects(objects map[string][]byte) ([]Row, error) {
	var rows []Row
	var files, listed []string
	for key, body := range objects {
		if strings.HasSuffix(key, manifestSuffix) {
			var manifest struct{ Files []string }
			if err := json.Unmarshal(body, &manifest); err != nil {
				return nil, err
			}
			listed = append(listed, manifest.Files...)
			continue
		}
		files = append(files, key)
		read, err := readFile(key, body)
		if err != nil {
			return nil, err
		}
		rows = append(rows, read...)
	}
	slices.Sort(files)
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		return nil, fmt.Errorf("the files are %q, the manifests list %q", files, listed)
	}
	return rows, nil
}

// readFile reads a file by what its name ends in.
func readFile(key string, body []byte) ([]Row, error) {
	switch {
	case strings.Contains(key, ".parquet"): // some have the codec behind it
		return readParquet(body)
	case strings.HasSuffix(key, ".csv"):
		return readCSV(body)
	case strings.HasSuffix(key, ".jsonl"):
		return readLines(bytes.NewReader(body))
	case strings.HasSuffix(key, ".jsonl.br"):
		return readLines(brotli.NewReader(bytes.NewReader(body)))
	case strings.HasSuffix(key, ".jsonl.gz"):
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return readLines(r)
	}
	return nil, fmt.Errorf("nobody asked for %q", key)
}

func readLines(r io.Reader) ([]Row, error) {
	var rows []Row
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		var row struct {
			UUID, Event string
			Timestamp   time.Time
			Properties  json.RawMessage
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, err
		}
		rows = append(rows, Row{
			UUID: row.UUID, Event: row.Event, Timestamp: row.Timestamp, Properties: string(row.Properties),
		})
	}
}

func readCSV(body []byte) ([]Row, error) {
	records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []Row
	column := func(name string) int { return slices.Index(records[0], name) }
	for _, r := range records[1:] {
		timestamp, err := time.Parse(time.RFC3339Nano, r[column("timestamp")])
		if err != nil {
			return nil, err
		}
		rows = append(rows, Row{
			UUID: r[column("uuid")], Event: r[column("event")], Timestamp: timestamp, Properties: r[column("properties")],
		})
	}
	return rows, nil
}

func readParquet(body []byte) ([]Row, error) {
	type event struct {
		UUID       string    `parquet:"uuid,optional"`
		Event      string    `parquet:"event,optional"`
		Timestamp  time.Time `parquet:"timestamp,optional,timestamp(microsecond)"`
		Properties string    `parquet:"properties,optional"`
	}
	events, err := parquet.Read[event](bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(events))
	for i, e := range events {
		rows[i] = Row(e)
	}
	return rows, nil
}
