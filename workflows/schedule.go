package workflows

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	sdkconverter "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"tranche/batch"
	"tranche/internal/app"
)

// DefaultCatchUp is how long an outage may last without intervals being lost, unless the operator says otherwise.
const DefaultCatchUp = 30 * 24 * time.Hour

// catchUp is the window in which Temporal starts what was due while it or we were away.
func (c *Client) catchUp() time.Duration {
	if c.CatchUp == 0 {
		return DefaultCatchUp
	}
	return c.CatchUp
}

// Put creates or updates the export's schedule. A schedule that was put for a newer revision is left alone. One that
// somebody paused or unpaused in Temporal since it was put stays so, unless the export was too: the reconciler copies that.
func (c *Client) Put(ctx context.Context, e batch.Export) error {
	return c.put(ctx, e, func(s client.Schedule) bool {
		was := c.putFor(s).Paused
		if was != nil && *was == e.Paused {
			return s.State.Paused
		}
		return e.Paused
	})
}

// Adopt is Put, but leaves alone whether the schedule is paused.
func (c *Client) Adopt(ctx context.Context, e batch.Export) error {
	return c.put(ctx, e, func(s client.Schedule) bool { return s.State.Paused })
}

func (c *Client) put(ctx context.Context, e batch.Export, paused func(client.Schedule) bool) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	spec, err := specOf(e)
	if err != nil {
		return err
	}
	schedules := c.Temporal.ScheduleClient()
	_, err = schedules.Create(ctx, client.ScheduleOptions{
		ID: e.ID.String(), Spec: spec, Action: c.actionOf(e), Overlap: overlap, CatchupWindow: c.catchUp(),
		Paused: e.Paused, Note: noteOf(e), TypedSearchAttributes: attributesOf(e),
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return unavailable("create schedule", err)
	}
	err = schedules.GetHandle(ctx, e.ID.String()).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			if c.putFor(s).Revision > e.Revision {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			s.State = &client.ScheduleState{Paused: paused(s), Note: noteOf(e)}
			s.Spec, s.Action = &spec, c.actionOf(e)
			s.Policy = &client.SchedulePolicies{Overlap: overlap, CatchupWindow: c.catchUp()}
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
	return unavailable("update schedule", err)
}

// putFor is what Put left in the schedule's action; its zero value = unknown.
func (c *Client) putFor(s client.Schedule) (in ExportIntervalInput) {
	action, ok := s.Action.(*client.ScheduleWorkflowAction)
	if !ok || len(action.Args) == 0 {
		return in
	}
	converter := c.Converter
	if converter == nil {
		converter = sdkconverter.GetDefaultDataConverter()
	}
	payload, ok := action.Args[0].(*commonpb.Payload)
	if !ok || converter.FromPayload(payload, &in) != nil {
		return ExportIntervalInput{}
	}
	return in
}

// Schedule compares the export's schedule with what Put would make of it.
func (c *Client) Schedule(ctx context.Context, e batch.Export) (app.Schedule, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	d, err := c.Temporal.ScheduleClient().GetHandle(ctx, e.ID.String()).Describe(ctx)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return app.Schedule{}, nil
	}
	if err != nil {
		return app.Schedule{}, unavailable("describe schedule", err)
	}
	want, err := specOf(e)
	if err != nil {
		return app.Schedule{}, err
	}
	s := d.Schedule
	return app.Schedule{
		Found: true, Revision: c.putFor(s).Revision, Paused: s.State.Paused,
		Unmarked: c.Installation != uuid.Nil && c.putFor(s).Installation == nil,
		Drifted:  s.Spec == nil || !sameSpec(*s.Spec, want) || !c.samePolicy(s) || !sameAction(s, c.actionOf(e)),
	}, nil
}

// PutBy returns the installation that put a schedule; zero = it does not say, or there is no schedule.
func (c *Client) PutBy(ctx context.Context, exportID uuid.UUID) (uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	d, err := c.Temporal.ScheduleClient().GetHandle(ctx, exportID.String()).Describe(ctx)
	if err != nil {
		return uuid.Nil, unavailable("describe schedule", ignoreNotFound(err))
	}
	if by := c.putFor(d.Schedule).Installation; by != nil {
		return *by, nil
	}
	return uuid.Nil, nil
}

// sameSpec says whether a spec that Temporal returned fires when ours does.
func sameSpec(have, want client.ScheduleSpec) bool {
	return have.StartAt.Equal(want.StartAt) && have.EndAt.Equal(want.EndAt) && have.Jitter == want.Jitter &&
		have.TimeZoneName == want.TimeZoneName && len(have.Skip) == 0 && len(have.CronExpressions) == 0 &&
		slices.Equal(have.Intervals, want.Intervals) && slices.EqualFunc(have.Calendars, want.Calendars, sameCalendar)
}

// sameCalendar compares what ours sets: Temporal fills in the rest.
func sameCalendar(have, want client.ScheduleCalendarSpec) bool {
	midnight, all := []client.ScheduleRange{{}}, func(first, last int) []client.ScheduleRange {
		return []client.ScheduleRange{{Start: first, End: last}}
	}
	days := want.DayOfWeek
	if len(days) == 0 {
		days = all(0, 6)
	}
	return sameRanges(have.Second, midnight) && sameRanges(have.Minute, midnight) && sameRanges(have.Hour, want.Hour) &&
		sameRanges(have.DayOfMonth, all(1, 31)) && sameRanges(have.Month, all(1, 12)) && len(have.Year) == 0 && sameRanges(have.DayOfWeek, days)
}

func sameRanges(have, want []client.ScheduleRange) bool {
	return slices.EqualFunc(have, want, func(a, b client.ScheduleRange) bool {
		return a.Start == b.Start && max(a.End, a.Start) == max(b.End, b.Start) && max(a.Step, 1) == max(b.Step, 1)
	})
}

func (c *Client) samePolicy(s client.Schedule) bool {
	p := s.Policy
	return p != nil && p.Overlap == overlap && p.CatchupWindow == c.catchUp() && !p.PauseOnFailure && !s.State.LimitedActions
}

func sameAction(s client.Schedule, want *client.ScheduleWorkflowAction) bool {
	have, ok := s.Action.(*client.ScheduleWorkflowAction)
	return ok && have.ID == want.ID && have.TaskQueue == want.TaskQueue && have.Workflow == exportInterval
}

// exportInterval is the name under which the workflow is registered.
const exportInterval = "ExportInterval"
