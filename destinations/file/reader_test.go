package file_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/parquet-go/parquet-go"

	"tranche/destinations/destinationtest"
)

const (
	staging        = ".staging"
	manifestSuffix = "_manifest.json"
)

// readRows reads every file that a reader sees, and makes sure that the manifest lists exactly those.
func readRows(root string) ([]destinationtest.Row, error) {
	var rows []destinationtest.Row
	var files, listed []string
	err := walk(root, func(key string) error {
		body, err := os.ReadFile(filepath.Join(root, key))
		if err != nil {
			return err
		}
		if strings.HasSuffix(key, manifestSuffix) {
			var manifest struct{ Files []string }
			err := json.Unmarshal(body, &manifest)
			listed = append(listed, manifest.Files...)
			return err
		}
		files = append(files, key)
		read, err := readFile(key, body)
		rows = append(rows, read...)
		return err
	})
	slices.Sort(files)
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		return nil, fmt.Errorf("the files are %q, the manifest lists %q", files, listed)
	}
	return rows, err
}

// walk visits every file outside the staging folder.
func walk(root string, visit func(key string) error) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == staging {
			return filepath.SkipDir
		}
		if e.IsDir() {
			return nil
		}
		key, err := filepath.Rel(root, path)
		return errors.Join(err, visit(key))
	})
}

// staged lists what is in the staging folder.
func staged(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, staging))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// readFile reads a file by what its name ends in.
func readFile(key string, body []byte) ([]destinationtest.Row, error) {
	switch {
	case strings.HasSuffix(key, ".parquet"):
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

func readLines(r io.Reader) ([]destinationtest.Row, error) {
	var rows []destinationtest.Row
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
		rows = append(rows, destinationtest.Row{
			UUID: row.UUID, Event: row.Event, Timestamp: row.Timestamp, Properties: string(row.Properties),
		})
	}
}

func readCSV(body []byte) ([]destinationtest.Row, error) {
	records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []destinationtest.Row
	column := func(name string) int { return slices.Index(records[0], name) }
	for _, r := range records[1:] {
		timestamp, err := time.Parse(time.RFC3339Nano, r[column("timestamp")])
		if err != nil {
			return nil, err
		}
		rows = append(rows, destinationtest.Row{
			UUID: r[column("uuid")], Event: r[column("event")], Timestamp: timestamp, Properties: r[column("properties")],
		})
	}
	return rows, nil
}

func readParquet(body []byte) ([]destinationtest.Row, error) {
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
	rows := make([]destinationtest.Row, len(events))
	for i, e := range events {
		rows[i] = destinationtest.Row(e)
	}
	return rows, nil
}
