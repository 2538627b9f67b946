package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/auth"
)

// activityPage is how many entries a page has.
const activityPage = 100

// An activityBody is an entry of the audit log as clients see it.
type activityBody struct {
	ID            uuid.UUID     `json:"id"`
	CreatedAt     instant       `json:"created_at"`
	Action        batch.Action  `json:"action"`
	BatchExportID *uuid.UUID    `json:"batch_export_id"`
	SubjectID     *uuid.UUID    `json:"subject_id"`
	Actor         actorBody     `json:"actor"`
	RequestID     *string       `json:"request_id"`
	Note          *string       `json:"note"`
	Changes       []changedBody `json:"changes"`
}

// An actorBody is who did something.
type actorBody struct {
	Kind      batch.ActorKind `json:"kind"`
	UserID    *int64          `json:"user_id"`
	KeyID     *uuid.UUID      `json:"key_id"`
	KeyPrefix *string         `json:"key_prefix"`
	Address   *string         `json:"address"`
}

// A changedBody is a field before and after; both may be any JSON.
type changedBody struct {
	Field  string          `json:"field"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

func activityBodyOf(e batch.AuditEntry) activityBody {
	return activityBody{
		ID: e.ID, CreatedAt: instant(e.CreatedAt), Action: e.Action, BatchExportID: orNone(e.ExportID), SubjectID: orNone(e.SubjectID),
		Actor: actorBody{
			Kind: e.Actor.Kind, UserID: orNone(e.Actor.UserID), KeyID: orNone(e.Actor.KeyID), KeyPrefix: orNone(e.Actor.KeyPrefix),
			Address: orNone(e.Actor.Address),
		},
		RequestID: orNone(e.Actor.RequestID), Note: orNone(e.Note),
		Changes: each(e.Changes, func(c batch.FieldChange) changedBody { return changedBody(c) }),
	}
}

// orNone is nil for the zero value.
func orNone[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func (s *Server) activityRoutes() []route {
	answer := reflect.TypeFor[cursorPage[activityBody]]()
	return []route{
		{http.MethodGet, exportsPath + "/activity", auth.ScopeRead, s.listActivity, operation{
			id: "activity_list", summary: "List who did what in the project, newest first", status: http.StatusOK, answer: answer,
			query: func(p *params) { activityFilterOf(p); p.id("batch_export_id"); p.text("cursor") },
		}},
		{http.MethodGet, exportPath + "/activity", auth.ScopeRead, s.listExportActivity, operation{
			id: "activity_list_of_export", summary: "List who did what to a batch export, newest first", status: http.StatusOK, answer: answer,
			query: func(p *params) { activityFilterOf(p); p.text("cursor") },
		}},
	}
}

// activityFilterOf reads the filters of the audit log. An actor is a kind, the id of a user or the beginning of a key.
func activityFilterOf(p *params) batch.AuditFilter {
	f := batch.AuditFilter{CreatedAfter: p.instant("after"), CreatedBefore: p.instant("before")}
	for _, text := range p.list("action") {
		if !slices.Contains(batch.Actions, batch.Action(text)) {
			p.failChoice("action", text)
		}
		f.Actions = append(f.Actions, batch.Action(text))
	}
	actor := p.text("actor")
	switch userID, err := strconv.ParseInt(actor, 10, 64); {
	case slices.Contains(batch.ActorKinds, batch.ActorKind(actor)):
		f.ActorKind = batch.ActorKind(actor)
	case err == nil:
		f.UserID = &userID
	default:
		f.KeyPrefix = actor
	}
	return f
}

// An auditList is one of the two lists.
type auditList func(ctx context.Context, f batch.AuditFilter) ([]batch.AuditEntry, error)

// listActivity answers with what was done in the project, and to the keys of its organization.
func (s *Server) listActivity(c *gin.Context, who caller) (int, any, error) {
	return s.activity(c, who, nil, s.Audit.List)
}

// listExportActivity answers with what was done to an export.
func (s *Server) listExportActivity(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	return s.activity(c, who, &id, s.Audit.ListOf)
}

func (s *Server) activity(c *gin.Context, who caller, exportID *uuid.UUID, list auditList) (int, any, error) {
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	f := activityFilterOf(p)
	if f.ExportID = exportID; exportID == nil {
		f.ExportID = p.id("batch_export_id")
	}
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	f.TeamID, f.OrganizationID = who.teamID, who.organizationID
	identity := url.Values{"list": {"activity"}, "team": {strconv.FormatInt(who.teamID, 10)}}
	if f.ExportID != nil {
		identity.Set("export", f.ExportID.String())
	}
	for _, name := range []string{"actor", "after", "before"} {
		identity.Set(name, p.get(name))
	}
	identity["action"] = p.list("action")
	page, err := turn(s, c, p, cursorList[batch.AuditEntry]{
		order: ordering{batch.OrderCreatedAt, true}, size: activityPage, identity: identity,
		fetch: func(o ordering, after *batch.Position, limit int) ([]batch.AuditEntry, error) {
			f.After, f.Desc, f.Limit = after, o.desc, limit
			return list(c.Request.Context(), f)
		},
		position: func(e batch.AuditEntry) batch.Position { return batch.Position{Value: &e.CreatedAt, ID: e.ID} },
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, bodies(page, activityBodyOf), nil
}
