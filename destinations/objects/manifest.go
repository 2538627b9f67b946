package objects

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// manifestVersion is the version of the manifest's form.
const manifestVersion = 1

// A Manifest lists all that a run delivered. It is written last: what it names is complete.
type Manifest struct {
	Version           int                   `json:"version"`
	BatchExportID     uuid.UUID             `json:"batch_export_id"`
	RunID             uuid.UUID             `json:"run_id"`
	Model             batch.Model           `json:"model"`
	DataIntervalStart *time.Time            `json:"data_interval_start"` // null = from the beginning
	DataIntervalEnd   time.Time             `json:"data_interval_end"`
	Attempt           int                   `json:"attempt"`
	Rows              int64                 `json:"rows"`
	Bytes             int64                 `json:"bytes"`
	Schema            []destinations.Column `json:"schema"`
	Files             []string              `json:"files"`
	Objects           []batch.Object        `json:"objects"`
}

// ManifestOf lists what a run staged, in the order of splits and files.
func ManifestOf(run destinations.Run, receipts []destinations.Receipt) Manifest {
	m := Manifest{
		Version:         manifestVersion,
		BatchExportID:   run.ExportID,
		RunID:           run.ID,
		Model:           run.Model,
		DataIntervalEnd: run.Interval.End.UTC(),
		Attempt:         run.Generation,
		Schema:          []destinations.Column{},
		Files:           []string{},
		Objects:         []batch.Object{},
	}
	if start := run.Interval.Start.UTC(); !start.IsZero() {
		m.DataIntervalStart = &start
	}
	for _, object := range Ordered(receipts) {
		m.Files = append(m.Files, object.Key)
		m.Objects = append(m.Objects, object.Object)
		m.Rows += object.Rows
		m.Bytes += object.Bytes
	}
	for _, r := range receipts {
		if len(r.Schema) > 0 {
			m.Schema = r.Schema
			break
		}
	}
	return m
}

// Ordered returns the staged objects of all splits in the order of splits and files.
func Ordered(receipts []destinations.Receipt) []destinations.StagedObject {
	receipts = slices.Clone(receipts)
	slices.SortStableFunc(receipts, func(a, b destinations.Receipt) int { return cmp.Compare(a.Split, b.Split) })
	var objects []destinations.StagedObject
	for _, r := range receipts {
		objects = append(objects, r.Objects...)
	}
	return objects
}

// Encode returns the manifest as it is written: the same receipts give the same bytes.
func (m Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Published returns what a commit reports of the manifest's objects.
func (m Manifest) Published(key string) destinations.Published {
	return destinations.Published{Objects: m.Objects, Manifest: key, Rows: m.Rows, Bytes: m.Bytes}
}

// columnsOf names the columns of a schema as the manifest lists them.
func columnsOf(schema *arrow.Schema) []destinations.Column {
	columns := make([]destinations.Column, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = destinations.Column{Name: f.Name, Type: typeName(f)}
	}
	return columns
}

func typeName(f arrow.Field) string {
	if value, ok := f.Metadata.GetValue(query.JSONMetadata); ok && value == "true" {
		return "json"
	}
	switch f.Type.ID() { //nolint:exhaustive // Arrow's own names say the rest
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return "string"
	case arrow.TIMESTAMP:
		return "timestamp"
	}
	return f.Type.String()
}
