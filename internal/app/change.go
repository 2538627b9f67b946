package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
)

// A Sent is a field that a caller may have sent.
type Sent[T any] struct {
	Value T
	Is    bool // false: it was not sent, Value means nothing
}

// SentValue is a field that was sent.
func SentValue[T any](value T) Sent[T] { return Sent[T]{Value: value, Is: true} }

// A Change is what a caller wants an export to become. What was not sent stays, with the exceptions of Replace.
type Change struct {
	Name        Sent[string]
	Model       Sent[batch.Model] // empty = as it is
	Destination Sent[DestinationChange]
	Interval    Sent[string]
	Timezone    Sent[string] // empty = UTC
	OffsetDay   Sent[*int]
	OffsetHour  Sent[*int]
	Selection   SelectionChange
	StartAt     Sent[*time.Time]
	EndAt       Sent[*time.Time]
	Paused      Sent[bool]
	// LastPausedAt is when it was paused, as the caller tells; a change of Paused says it better.
	LastPausedAt Sent[*time.Time]
	// Replace marks a PUT: the required settings of the destination must be there, but for secrets, and a timezone and
	// offsets that were not sent get their defaults.
	Replace bool
}

// A DestinationChange is a change of a destination: settings are laid over the stored ones, dict by dict.
type DestinationChange struct {
	Type   string // empty = as it is
	Config map[string]any
}

// A Precondition says whether the revision is one that the caller knows; nil = any will do.
type Precondition func(revision int64) bool

// Check refuses an export that has changed since the caller read it.
func (p Precondition) Check(e batch.Export) error {
	if p == nil || p(e.Revision) {
		return nil
	}
	return &Problem{
		Kind: PreconditionFailed, Code: "precondition_failed",
		Detail: "The batch export was changed in the meantime. Read it again before you change it.",
	}
}

// updateTries is how often a change is made anew because somebody else was faster.
const updateTries = 5

// errMoved ends an update of an export that somebody changed since it was read.
var errMoved = errors.New("the export was changed")

// Update changes an export and then its schedule. Runs under way keep the definition that they began with.
func (s *Exports) Update(
	ctx context.Context, teamID, userID int64, id uuid.UUID, match Precondition, c Change,
) (batch.Export, error) {
	for range updateTries {
		before, err := s.Get(ctx, teamID, id)
		if err == nil {
			err = match.Check(before)
		}
		if err != nil {
			return batch.Export{}, err
		}
		// Settings are checked outside of the transaction: names of hosts are looked up.
		after := before
		if err := s.apply(&after, c); err != nil {
			return batch.Export{}, err
		}
		after.LastModifiedBy = userID
		e, err := s.change(ctx, teamID, id, func(e *batch.Export) error {
			if e.Revision != before.Revision {
				return errMoved
			}
			if unchanged(before, after) {
				return batch.ErrUnchanged
			}
			*e = after
			return nil
		})
		if !errors.Is(err, errMoved) {
			return e, err
		}
	}
	return batch.Export{}, &Problem{Kind: Conflict, Code: "conflict", Detail: "The batch export is being changed by others. Please try again."}
}

// unchanged says whether a change leaves an export as it is, so that whoever sends what is there already, secrets too,
// learns it from the ETag, and makes no revision.
func unchanged(before, after batch.Export) bool {
	before, after = spelledOut(before), spelledOut(after)
	// What was stored is what JSON made of it, and what is sent has other types of the same JSON.
	old, err := json.Marshal([]any{before.Destination.Config, before.Selection})
	if err != nil {
		return false
	}
	sent, err := json.Marshal([]any{after.Destination.Config, after.Selection})
	if err != nil || !bytes.Equal(old, sent) {
		return false
	}
	before.LastModifiedBy, before.Destination.Config, before.Selection = after.LastModifiedBy, after.Destination.Config, after.Selection
	return reflect.DeepEqual(before, after)
}

// spelledOut is an export that says what it leaves to defaults: clients see it so, and may send it back so.
func spelledOut(e batch.Export) batch.Export {
	if e.Frequency == batch.Weekly && e.OffsetDay == nil {
		e.OffsetDay = new(int)
	}
	if e.Frequency.InLocalTime() && e.OffsetHour == nil {
		e.OffsetHour = new(int)
	}
	if e.Selection.Mode == "" {
		e.Selection.Mode = batch.IncrementalAppend
	}
	return e
}

// apply changes e. The first problem is returned, in the order of exportOf.
func (s *Exports) apply(e *batch.Export, c Change) error {
	if c.Name.Is {
		if e.Name = strings.TrimSpace(c.Name.Value); e.Name == "" {
			return invalid("name", codeBlank, "This field may not be blank.")
		}
	}
	if c.Model.Is && c.Model.Value != "" && c.Model.Value != e.Model {
		return invalid("model", codeInvalid, "Changing models is not supported. Create a new batch export instead.")
	}
	if c.Destination.Is {
		var err error
		if e.Destination, err = s.changedDestination(e.Destination, c.Destination.Value, c.Replace); err != nil {
			return err
		}
	}
	if c.Selection.any() {
		if err := s.setSelection(e, c.Selection); err != nil {
			return err
		}
	}
	if c.StartAt.Is {
		e.StartAt = c.StartAt.Value
	}
	if c.EndAt.Is {
		e.EndAt = c.EndAt.Value
	}
	if err := s.changeCalendar(e, c); err != nil {
		return err
	}
	if c.LastPausedAt.Is {
		e.LastPausedAt = c.LastPausedAt.Value
	}
	if c.Paused.Is && c.Paused.Value != e.Paused {
		setPaused(e, c.Paused.Value, s.Now())
	}
	return nil
}

// changedDestination lays new settings over stored ones.
func (s *Exports) changedDestination(stored batch.Destination, c DestinationChange, replace bool) (batch.Destination, error) {
	if _, known := s.Plugins.Plugin(c.Type); c.Type != "" && c.Type != stored.Type && !known {
		return stored, invalid("destination__type", codeChoice, "%q is not a valid choice.", c.Type)
	}
	if err := sameType(stored, c.Type); err != nil {
		return stored, err
	}
	plugin, ok := s.Plugins.Plugin(stored.Type)
	if !ok {
		return stored, invalid("destination__type", codeChoice, "%q is not a valid choice.", stored.Type)
	}
	config, err := parse(plugin, c.Config, stored.Config)
	if err != nil {
		return stored, err
	}
	if name, missing := missingOf(plugin, c.Config); replace && missing {
		return stored, invalid("destination", codeInvalid, "Configuration missing required field: '%s'", name)
	}
	stored.Config = config
	return stored, nil
}

// sameType refuses another type than the stored one.
func sameType(stored batch.Destination, kind string) error {
	if kind == "" || kind == stored.Type {
		return nil
	}
	return invalid("destination", codeInvalid,
		"Cannot change destination type from '%s' to '%s'. Delete this batch export and create a new one instead.", stored.Type, kind)
}

// missingOf finds a required setting that is no secret and was not sent.
func missingOf(plugin destinations.Plugin, sent map[string]any) (string, bool) {
	fields := plugin.Fields()
	i := slices.IndexFunc(fields, func(f destinations.Field) bool {
		_, ok := sent[f.Name]
		return f.Required && !f.Secret && !ok
	})
	if i < 0 {
		return "", false
	}
	return fields[i].Name, true
}

// changeCalendar applies interval, timezone and offsets. An interval without offsets keeps what applies of the stored
// ones; offsets alone apply to the stored interval.
func (s *Exports) changeCalendar(e *batch.Export, c Change) error {
	before, err := e.Calendar()
	if err != nil {
		return err
	}
	stored := *e
	interval := string(e.Frequency)
	if c.Interval.Is {
		interval = c.Interval.Value
	}
	if c.Timezone.Is {
		e.Timezone = c.Timezone.Value
	} else if c.Replace {
		e.Timezone = ""
	}
	e.OffsetDay, e.OffsetHour = nil, nil
	if f, ok := batch.ParseFrequency(interval); ok && !c.Replace {
		keepOffsets(e, stored, f)
	}
	if c.OffsetDay.Is {
		e.OffsetDay = c.OffsetDay.Value
	}
	if c.OffsetHour.Is {
		e.OffsetHour = c.OffsetHour.Value
	}
	if err := setCalendar(e, interval); err != nil {
		return err
	}
	after, err := e.Calendar()
	if err != nil {
		return err
	}
	if after.String() != before.String() {
		joint := batch.FirstInterval(e.FirstInterval, before, after, s.Now())
		e.FirstInterval = &joint
	}
	return nil
}

// keepOffsets keeps the offsets that mean something for the frequency.
func keepOffsets(e *batch.Export, stored batch.Export, f batch.Frequency) {
	if f.InLocalTime() {
		e.OffsetHour = stored.OffsetHour
	}
	if f == batch.Weekly {
		e.OffsetDay = stored.OffsetDay
	}
}
