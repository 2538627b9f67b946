package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/app"
)

// latestRuns is how many runs an export shows.
const latestRuns = 10

// An exportBody is a batch export as clients see it.
type exportBody struct {
	ID              uuid.UUID             `json:"id"`
	TeamID          int64                 `json:"team_id"`
	Name            string                `json:"name"`
	Model           batch.Model           `json:"model"`
	Destination     destinationBody       `json:"destination"`
	Interval        batch.Frequency       `json:"interval"`
	Paused          bool                  `json:"paused"`
	CreatedAt       instant               `json:"created_at"`
	LastUpdatedAt   instant               `json:"last_updated_at"`
	LastPausedAt    *instant              `json:"last_paused_at"`
	StartAt         *instant              `json:"start_at"`
	EndAt           *instant              `json:"end_at"`
	LatestRuns      []runBody             `json:"latest_runs"`
	HogQLQuery      *string               `json:"hogql_query"`
	HogQLModifiers  map[string]any        `json:"hogql_modifiers" nullable:"true"`
	PrimaryKey      []string              `json:"primary_key" nullable:"true"`
	VersionKey      []string              `json:"version_key" nullable:"true"`
	IncrementalMode batch.IncrementalMode `json:"incremental_mode"`
	Schema          *schemaBody           `json:"schema"`
	Filters         []filterBody          `json:"filters" nullable:"true"`
	Timezone        string                `json:"timezone"`
	OffsetDay       *int                  `json:"offset_day"`
	OffsetHour      *int                  `json:"offset_hour"`
}

type destinationBody struct {
	Type        string         `json:"type"`
	Config      map[string]any `json:"config"`
	Integration *int64         `json:"integration"`
}

// exportBody is what is shown of an export.
func (s *Server) exportBody(e batch.Export, runs []batch.Run) exportBody {
	body := exportBody{
		ID: e.ID, TeamID: e.TeamID, Name: e.Name, Model: e.Model,
		Destination: destinationBody{Type: e.Destination.Type, Config: s.redacted(e.Destination), Integration: e.Destination.Integration},
		Interval:    e.Frequency, Paused: e.Paused,
		CreatedAt: instant(e.CreatedAt), LastUpdatedAt: instant(e.LastUpdatedAt), LastPausedAt: instantOf(e.LastPausedAt),
		StartAt: instantOf(e.StartAt), EndAt: instantOf(e.EndAt),
		LatestRuns: each(runs, s.runBody), Timezone: e.Timezone,
	}
	s.showSelection(&body, e)
	if e.Frequency == batch.Weekly {
		body.OffsetDay = orZero(e.OffsetDay)
	}
	if e.Frequency.InLocalTime() {
		body.OffsetHour = orZero(e.OffsetHour)
	}
	return body
}

// redacted is what may be shown of a destination's settings: nothing when its plugin is gone, since only the plugin
// knows the secrets.
func (s *Server) redacted(d batch.Destination) map[string]any {
	plugin, ok := s.Exports.Plugins.Plugin(d.Type)
	if !ok {
		return map[string]any{}
	}
	return plugin.Redact(d.Config)
}

func orZero(n *int) *int {
	if n == nil {
		return new(int)
	}
	return n
}

// listExports answers with a page of the project's exports, newest first.
func (s *Server) listExports(c *gin.Context, who caller) (int, any, error) {
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	limit, offset := exportPageOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	exports, count, err := s.Exports.List(c.Request.Context(), who.teamID, limit, offset)
	if err != nil {
		return 0, nil, err
	}
	results, err := s.exportBodies(c.Request.Context(), exports)
	if err != nil {
		return 0, nil, err
	}
	page := countedPage[exportBody]{Count: count, Results: results}
	page.Next, page.Previous = s.offsetLinks(c, p, limit, offset, count)
	return http.StatusOK, page, nil
}

// exportPageOf reads which page is asked for.
func exportPageOf(p *params) (limit, offset int) {
	return min(p.number("limit", defaultLimit, 1), maxLimit), p.number("offset", 0, 0)
}

// exportBodies adds the newest runs to exports.
func (s *Server) exportBodies(ctx context.Context, exports []batch.Export) ([]exportBody, error) {
	if len(exports) == 0 {
		return []exportBody{}, nil
	}
	ids := each(exports, func(e batch.Export) uuid.UUID { return e.ID })
	runs, err := s.Runs.Latest(ctx, ids, latestRuns)
	if err != nil {
		return nil, err
	}
	return each(exports, func(e batch.Export) exportBody { return s.exportBody(e, runs[e.ID]) }), nil
}

// createExport makes an export.
func (s *Server) createExport(c *gin.Context, who caller) (int, any, error) {
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft := draftOf(f, who)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	draft.ID = who.makes
	e, err := s.Exports.Create(c.Request.Context(), who.teamID, who.userID, draft)
	if err != nil {
		return 0, nil, err
	}
	setETag(c, e)
	return http.StatusCreated, s.exportBody(e, nil), nil
}

// getExport answers with one export.
func (s *Server) getExport(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	match, err := precondition(c)
	if err != nil {
		return 0, nil, err
	}
	e, err := s.Exports.Get(c.Request.Context(), who.teamID, id)
	if err == nil {
		err = match.Check(e)
	}
	if err != nil {
		return 0, nil, err
	}
	setETag(c, e)
	bodies, err := s.exportBodies(c.Request.Context(), []batch.Export{e})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, bodies[0], nil
}

// deleteExport hides an export and ends what it does.
func (s *Server) deleteExport(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	match, err := precondition(c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.Exports.Delete(c.Request.Context(), who.teamID, who.userID, id, match)
}

type pausedBody struct {
	Paused bool `json:"paused"`
}

// pauseExport stops an export's schedule. The body is ignored.
func (s *Server) pauseExport(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	_, err = s.Exports.Pause(c.Request.Context(), who.teamID, who.userID, id)
	return http.StatusOK, pausedBody{Paused: true}, err
}

// unpauseExport resumes an export's schedule, and backfills what was missed when asked to.
func (s *Server) unpauseExport(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	backfill := unpauseOf(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	_, err = s.Exports.Unpause(c.Request.Context(), who.teamID, who.userID, id, backfill)
	return http.StatusOK, pausedBody{Paused: false}, err
}

// unpauseOf says whether what was missed is to be backfilled.
func unpauseOf(f *form) bool { return f.boolean("backfill") }

const maxName = 255 // characters

// What clients may choose among. Models that this server lacks are refused by the use case.
var (
	intervals = oneOf(intervalNames()...)
	timezones = choices{valid: func(s string) bool { _, err := batch.LoadLocation(s); return err == nil }}
	anyText   = choices{valid: func(string) bool { return true }}
)

func oneOf(values ...string) choices {
	return choices{valid: func(s string) bool { return slices.Contains(values, s) }, listed: values}
}

// modelChoices are the models of the server. Those that clients know and the server lacks are refused by the use case.
func (c caller) modelChoices() choices {
	known := []string{string(batch.ModelEvents), string(batch.ModelPersons), string(batch.ModelSessions), string(batch.ModelHogQL)}
	return choices{
		valid:  func(s string) bool { return slices.Contains(known, s) || slices.Contains(c.models, s) },
		listed: append(slices.Clone(c.models), string(batch.ModelHogQL)),
	}
}

// intervalNames lists every interval.
func intervalNames() []string {
	names := []string{string(batch.Hourly), string(batch.Daily), string(batch.Weekly)}
	for n := 1; n <= 60; n++ {
		if f, ok := batch.ParseFrequency(fmt.Sprintf("every %d minutes", n)); ok {
			names = append(names, string(f))
		}
	}
	return names
}

// draftOf reads an export from the form, in the order in which problems are told. Unknown fields are ignored.
func draftOf(f *form, who caller) app.Draft {
	var d app.Draft
	d.Name = f.text("name", required, maxName)
	d.Model = batch.Model(f.choice("model", nullable, who.modelChoices()))
	d.Destination = destinationOf(f)
	d.Interval = f.choice("interval", optional, intervals)
	d.Paused = f.boolean("paused")
	d.LastPausedAt = f.instant("last_paused_at", who.zone)
	d.StartAt = f.instant("start_at", who.zone)
	d.EndAt = f.instant("end_at", who.zone)
	d.Selection = selectionOf(f)
	d.Timezone = f.choice("timezone", nullable, timezones)
	d.OffsetDay = f.integer("offset_day", nullable)
	d.OffsetHour = f.integer("offset_hour", nullable)
	return d
}

// destinationOf reads the destination. Its settings are the plugin's to judge.
func destinationOf(f *form) app.DestinationDraft {
	object := f.object("destination", required)
	if f.problem() != nil {
		return app.DestinationDraft{}
	}
	f.note("destination", required, reference("NewDestination"))
	d := app.DestinationDraft{Type: object.choice("type", required, anyText)}
	d.Config = object.object("config", required).fields
	refuseIntegration(object)
	return d
}

// refuseIntegration refuses any integration that is named.
func refuseIntegration(destination *form) {
	for _, name := range []string{"integration", "integration_id"} {
		if value, ok := destination.value(name, nullable); ok {
			destination.failIntegration(value)
		}
	}
}

// failIntegration refuses an integration: this server has none, so that no id exists.
func (f *form) failIntegration(value any) {
	if _, ok := value.(int64); !ok {
		f.failField("integration", codeInvalid, "A valid integer is required.")
		return
	}
	f.failField("integration", codeAbsent, "Invalid pk \"%s\" - object does not exist.", shown(value))
}
