package api

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
)

const (
	defaultLogs = 50
	maxLogs     = 500
	maxSearch   = 1000 // characters
)

// A logBody is a log entry as clients see it.
type logBody struct {
	LogSourceID uuid.UUID      `json:"log_source_id"`
	InstanceID  string         `json:"instance_id" description:"The run that it is about; empty = the export."` // the run's id; empty = about the export
	Timestamp   instant        `json:"timestamp"`
	Level       batch.LogLevel `json:"level"`
	Message     string         `json:"message"`
}

func logBodyOf(e batch.LogEntry) logBody {
	body := logBody{LogSourceID: e.ExportID, Timestamp: instant(e.Timestamp), Level: e.Level, Message: e.Message}
	if e.RunID != (uuid.UUID{}) {
		body.InstanceID = e.RunID.String()
	}
	return body
}

// listExportLogs answers with log entries of an export and its runs.
func (s *Server) listExportLogs(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	if _, err := s.Exports.Get(c.Request.Context(), who.teamID, id); err != nil {
		return 0, nil, err
	}
	return s.listLogs(c, who, id, nil)
}

// listRunLogs answers with log entries of one run.
func (s *Server) listRunLogs(c *gin.Context, who caller) (int, any, error) {
	r, err := s.run(c, who)
	if err != nil {
		return 0, nil, err
	}
	return s.listLogs(c, who, r.ExportID, &r.ID)
}

func (s *Server) listLogs(c *gin.Context, who caller, exportID uuid.UUID, runID *uuid.UUID) (int, any, error) {
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	filter := logFilterOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	filter.TeamID, filter.ExportID = who.teamID, exportID
	if runID != nil {
		filter.RunID = runID
	}
	entries, err := s.Logs.List(c.Request.Context(), filter)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, countedPage[logBody]{Count: int64(len(entries)), Results: each(entries, logBodyOf)}, nil
}

// logFilterOf reads which entries are asked for.
func logFilterOf(p *params) batch.LogFilter {
	f := batch.LogFilter{
		RunID: p.id("instance_id"), After: p.instant("after"), Before: p.instant("before"),
		Search: p.text("search"), Limit: p.number("limit", defaultLogs, 1),
	}
	p.explain("search", "A part of the message, in upper or lower case.")
	p.explain("after", "Later than this.")
	p.explain("before", "Earlier than this: read on with the last timestamp of a page.")
	p.explain("instance_id", "The run that entries are about.")
	if f.Limit > maxLogs {
		p.fail("limit", codeMax, "Ensure this value is less than or equal to %d.", maxLogs)
	}
	if utf8.RuneCountInString(f.Search) > maxSearch {
		p.fail("search", codeMaxLength, "Ensure this field has no more than %d characters.", maxSearch)
	}
	for _, text := range p.list("level") {
		level, ok := logLevelOf(text)
		if !ok {
			p.failChoice("level", text)
		}
		f.Levels = append(f.Levels, level)
	}
	return f
}

// logLevelOf parses a level, with the other names that clients have for two of them.
func logLevelOf(text string) (batch.LogLevel, bool) {
	switch strings.ToUpper(text) {
	case "DEBUG":
		return batch.LogDebug, true
	case "INFO", "LOG":
		return batch.LogInfo, true
	case "WARNING", "WARN":
		return batch.LogWarning, true
	case "ERROR":
		return batch.LogError, true
	}
	return "", false
}
