package sources

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/encode"
	"tranche/query"
)

// A Sampler shows a few rows of a source.
type Sampler struct {
	Source Source
}

// Sample returns at most limit rows of the query, in no order, as lines of JSON: as JSONLines files have them. It ends
// early when they are longer than maxBytes together.
func (s Sampler) Sample(ctx context.Context, q query.Query, limit, maxBytes int) ([]json.RawMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the query
	records, err := s.Source.Open(ctx, q, Split{Range: q.Interval})
	if err != nil {
		return nil, err
	}
	defer records.Release()
	rows := []json.RawMessage{}
	for size := 0; len(rows) < limit && records.Next(); {
		all := records.RecordBatch()
		for i := range all.NumRows() {
			one := all.NewSlice(i, i+1)
			line, err := lineOf(one) //nolint:contextcheck // a line of JSON is made at once
			one.Release()
			if err != nil {
				return nil, err
			}
			if size += len(line); size > maxBytes || len(rows) == limit {
				return rows, nil
			}
			rows = append(rows, line)
		}
	}
	return rows, records.Err()
}

// lineOf is a row as a line of JSON.
func lineOf(row arrow.RecordBatch) (json.RawMessage, error) {
	var line bytes.Buffer
	e, err := encode.New(&line, row.Schema(), encode.Options{Format: encode.JSONLines})
	if err != nil {
		return nil, err
	}
	defer e.Discard()
	if err := e.Write(row); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(line.Bytes()), nil
}
