package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"tranche/batch"
	"tranche/internal/app"
)

// patchExport changes the fields that are sent.
func (s *Server) patchExport(c *gin.Context, who caller) (int, any, error) {
	return s.updateExport(c, who, false)
}

// putExport replaces an export. Settings that are not sent are kept all the same: they may be secret.
func (s *Server) putExport(c *gin.Context, who caller) (int, any, error) {
	return s.updateExport(c, who, true)
}

func (s *Server) updateExport(c *gin.Context, who caller, replace bool) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	match, err := precondition(c)
	if err != nil {
		return 0, nil, err
	}
	if _, err := s.Exports.Get(c.Request.Context(), who.teamID, id); err != nil {
		return 0, nil, err // whatever the body says
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	change := changeOf(f, who, replace)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	e, err := s.Exports.Update(c.Request.Context(), who.teamID, who.userID, id, match, change)
	if err != nil {
		return 0, nil, err
	}
	bodies, err := s.exportBodies(c.Request.Context(), []batch.Export{e})
	if err != nil {
		return 0, nil, err
	}
	setETag(c, e)
	return http.StatusOK, bodies[0], nil
}

// changeOf reads a change from the form, in the order in which problems are told. Unknown fields are ignored.
func changeOf(f *form, who caller, replace bool) app.Change {
	must := optional
	if replace {
		must = required
	}
	c := app.Change{Replace: replace}
	c.Name = sent(f, "name", f.text("name", must, maxName))
	c.Model = sent(f, "model", batch.Model(f.choice("model", nullable, who.modelChoices())))
	c.Destination = sent(f, "destination", destinationChangeOf(f, must))
	c.Interval = sent(f, "interval", f.choice("interval", must, intervals))
	c.Paused = sent(f, "paused", f.boolean("paused"))
	c.LastPausedAt = sent(f, "last_paused_at", f.instant("last_paused_at", who.zone))
	c.StartAt = sent(f, "start_at", f.instant("start_at", who.zone))
	c.EndAt = sent(f, "end_at", f.instant("end_at", who.zone))
	c.Selection = selectionOf(f)
	c.Timezone = sent(f, "timezone", f.choice("timezone", nullable, timezones))
	c.OffsetDay = sent(f, "offset_day", f.integer("offset_day", nullable))
	c.OffsetHour = sent(f, "offset_hour", f.integer("offset_hour", nullable))
	return c
}

// sent says whether the form has the field.
func sent[T any](f *form, name string, value T) app.Sent[T] {
	_, ok := f.fields[name]
	return app.Sent[T]{Value: value, Is: ok}
}

// destinationChangeOf reads the destination of a change.
func destinationChangeOf(f *form, must need) app.DestinationChange {
	if _, ok := f.fields["destination"]; !ok && must != required && f.spec == nil {
		return app.DestinationChange{}
	}
	object := f.object("destination", must)
	if f.problem() != nil {
		return app.DestinationChange{}
	}
	d := app.DestinationChange{Type: object.choice("type", must, anyText)}
	d.Config = object.object("config", must).fields
	f.note("destination", must, reference("ChangedDestination"))
	refuseIntegration(object)
	return d
}
