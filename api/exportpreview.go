package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
	"tranche/internal/auth"
)

// A exportPreviewBody is what an export would deliver of a range.
type exportPreviewBody struct {
	Model             batch.Model `json:"model"`
	DataIntervalStart instant     `json:"data_interval_start"`
	DataIntervalEnd   instant     `json:"data_interval_end"`
	Intervals         int64       `json:"intervals"`
	// Columns are what is read; Records counts the rows, Results are some of them.
	Columns []columnBody `json:"columns"`
	Records *int64       `json:"total_records_count"`
	Results []rowBody    `json:"results" nullable:"true"`
	// Table and its columns, if it were made now; null = the destination has files.
	Table        *string      `json:"table"`
	TableColumns []columnBody `json:"table_columns" nullable:"true"`
	// Files are those of the first intervals.
	Files []previewedFileBody `json:"files"`
}

type columnBody struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// A previewedFileBody names the first file of an interval, and its manifest.
type previewedFileBody struct {
	DataIntervalStart instant `json:"data_interval_start"`
	DataIntervalEnd   instant `json:"data_interval_end"`
	Key               string  `json:"key"`
	Manifest          string  `json:"manifest"`
}

// A rowBody is a row as a JSONLines file has it.
type rowBody json.RawMessage

// MarshalJSON is the row.
func (b rowBody) MarshalJSON() ([]byte, error) { return b, nil }

// previewExport tells what an export would deliver, and writes nothing.
func (s *Server) previewExport(c *gin.Context, who caller) (int, any, error) {
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft, asked := exportPreviewOf(f, who)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	r, err := s.Exports.Preview(c.Request.Context(), who.teamID, draft, asked)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, exportPreviewBodyOf(r), nil
}

// exportPreviewOf reads an export, and the range of which to tell.
func exportPreviewOf(f *form, who caller) (app.Draft, app.PreviewRange) {
	draft := draftOf(f, who)
	return draft, app.PreviewRange{
		Start: f.instant("data_interval_start", who.zone), End: f.instant("data_interval_end", who.zone),
	}
}

func exportPreviewBodyOf(r app.ExportPreview) exportPreviewBody {
	body := exportPreviewBody{
		Model: r.Export.Model, DataIntervalStart: instant(r.Range.Start), DataIntervalEnd: instant(r.Range.End), Intervals: r.Intervals,
		Columns: each(r.Columns, func(c app.PreviewedColumn) columnBody { return columnBody(c) }), Records: r.Rows, Files: []previewedFileBody{},
	}
	if r.Sample != nil {
		body.Results = each(r.Sample, func(row json.RawMessage) rowBody { return rowBody(row) })
	}
	for _, p := range r.Places {
		if len(p.Table) > 0 && body.Table == nil {
			name := strings.Join(p.Table, ".")
			body.Table, body.TableColumns = &name, each(p.Columns, func(c destinations.Column) columnBody { return columnBody{Name: c.Name, Type: c.Type} })
		}
		for _, key := range p.Objects {
			body.Files = append(body.Files, previewedFileBody{
				DataIntervalStart: instant(p.Interval.Start), DataIntervalEnd: instant(p.Interval.End), Key: key, Manifest: p.Manifest,
			})
		}
	}
	return body
}

// exportPreviewRoutes lists the operation that tells what an export would do.
func (s *Server) exportPreviewRoutes() []route {
	return []route{
		{http.MethodPost, exportsPath + "/preview", auth.ScopeWrite, s.previewExport, operation{
			id: "batch_exports_preview", summary: "Tell what a batch export would deliver, and write nothing", status: http.StatusOK,
			answer: reflect.TypeFor[exportPreviewBody](), body: func(f *form) { exportPreviewOf(f, s.nobody()) }, example: exampleExportPreview,
		}},
	}
}
