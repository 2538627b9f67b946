package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"tranche/batch"
	"tranche/dev/temporal"
)

// steps are what users, operators and accidents do. One that a walk should meet more often has several names.
func (s *sequence) steps() map[string]func(*rapid.T) error {
	h := s.h
	steps := map[string]func(*rapid.T) error{
		"rows arrive late":         s.rowsArrive,
		"rows arrive now":          s.rowsArriveNow,
		"rows are erased":          s.rowsAreErased,
		"backfill":                 s.each((*export).backfill),
		"backfill again":           s.each((*export).backfill),
		"backfill with a fault":    s.each((*export).backfillWithFault),
		"and with another":         s.each((*export).backfillWithFault),
		"and with one more":        s.each((*export).backfillWithFault),
		"the gaps are filled":      s.each((*export).fill),
		"a moment passes":          s.moment,
		"another moment passes":    s.moment,
		"a minute ends":            s.minuteEnds,
		"another minute ends":      s.minuteEnds,
		"retry":                    s.each(func(e *export, rt *rapid.T) error { return e.act(rt, "runs", false, "/retry") }),
		"cancel a run":             s.each(func(e *export, rt *rapid.T) error { return e.act(rt, "runs", true, "/cancel") }),
		"cancel a backfill":        s.each(func(e *export, rt *rapid.T) error { return e.act(rt, "backfills", true, "/cancel") }),
		"pause a backfill":         s.each(func(e *export, rt *rapid.T) error { return e.act(rt, "backfills", true, "/pause") }),
		"resume a backfill":        s.each(func(e *export, rt *rapid.T) error { return e.act(rt, "backfills", true, "/resume") }),
		"pause":                    s.each(func(e *export, rt *rapid.T) error { return e.call(rt.Context(), http.MethodPost, "/pause", nil, nil) }),
		"unpause":                  s.each((*export).unpause),
		"and unpause":              s.each((*export).unpause),
		"cancel in Temporal":       s.each((*export).cancelInTemporal),
		"terminate in Temporal":    s.each((*export).terminateInTemporal),
		"reset in Temporal":        s.each((*export).resetInTemporal),
		"and reset in Temporal":    s.each((*export).resetInTemporal),
		"pause in Temporal":        s.each((*export).pauseInTemporal),
		"unpause in Temporal":      s.each((*export).unpauseInTemporal),
		"trigger the schedule":     s.each((*export).trigger),
		"a fault waits":            s.arm,
		"another fault waits":      s.arm,
		"one more fault waits":     s.arm,
		"a worker dies":            func(rt *rapid.T) error { h.strike(anyWorker(rt), kill); return nil },
		"a worker freezes":         func(rt *rapid.T) error { h.strike(anyWorker(rt), freeze); return nil },
		"the API restarts":         func(*rapid.T) error { h.restartAPI(); return nil },
		"the server restarts":      func(*rapid.T) error { h.restartTemporal(func() {}); return nil },
		"everything comes to rest": func(rt *rapid.T) error { return s.settle(rt.Context()) },
	}
	if h.calendars {
		steps["change the calendar"] = s.each((*export).changeCalendar)
		steps["and change it again"] = s.each((*export).changeCalendar)
	}
	return steps
}

func anyWorker(rt *rapid.T) string {
	return fmt.Sprintf("worker-%d", rapid.IntRange(1, workerCount).Draw(rt, "worker"))
}

// each does a step to one of the exports.
func (s *sequence) each(step func(e *export, rt *rapid.T) error) func(*rapid.T) error {
	return func(rt *rapid.T) error { return step(rapid.SampledFrom(s.exports).Draw(rt, "export"), rt) }
}

// GoString names the export in what a failing walk prints.
func (e *export) GoString() string { return "by the " + e.name }

// place chooses a range of the past: an hour, or one of the last minutes.
func (s *sequence) place(rt *rapid.T) batch.Interval {
	n := rapid.IntRange(0, hours+minutes-1).Draw(rt, "place")
	if n < hours {
		return s.hour(n)
	}
	return s.minute(n - hours)
}

func (s *sequence) rowsArrive(rt *rapid.T) error {
	return s.addRows(rt.Context(), s.place(rt), rapid.IntRange(1, 8).Draw(rt, "rows"), "late")
}

// rowsArriveNow adds rows to the interval that is under way.
func (s *sequence) rowsArriveNow(rt *rapid.T) error {
	now := time.Now().UTC()
	within := batch.Interval{Start: now.Add(-time.Second), End: now}
	return s.addRows(rt.Context(), within, rapid.IntRange(1, 8).Draw(rt, "rows"), "now")
}

func (s *sequence) rowsAreErased(rt *rapid.T) error {
	return s.removeRows(rt.Context(), s.place(rt), rapid.IntRange(1, 8).Draw(rt, "rows"))
}

// moment waits until a reader sees something new, or nothing happens for a while.
func (s *sequence) moment(*rapid.T) error {
	const most, poll = 2 * time.Second, 20 * time.Millisecond
	before := s.h.world.States()
	for began := time.Now(); time.Since(began) < most && s.h.world.States() == before; {
		time.Sleep(poll) //nolint:forbidigo // that time passes is the step
	}
	return nil
}

// minuteEnds waits for the end of the minute, if it is near, so that intervals fall due.
func (s *sequence) minuteEnds(*rapid.T) error {
	const near = 25 * time.Second
	if left := time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)); left < near {
		time.Sleep(left + time.Millisecond) //nolint:forbidigo // that time passes is the step
	}
	return nil
}

// arm puts a fault at a point.
func (s *sequence) arm(rt *rapid.T) error {
	s.h.faults.arm(rapid.SampledFrom(points).Draw(rt, "point"), rapid.SampledFrom(kinds).Draw(rt, "kind"))
	return nil
}

// mostIntervals is how many intervals a backfill has at most.
const mostIntervals = 6

// backfill backfills some intervals of the export's calendar, with any options.
func (e *export) backfill(rt *rapid.T) error {
	back := rapid.IntRange(0, hours).Draw(rt, "intervals back")
	n := rapid.IntRange(1, mostIntervals).Draw(rt, "intervals")
	options := map[string]any{
		"order":          rapid.SampledFrom(batch.BackfillOrders).Draw(rt, "order"),
		"concurrency":    rapid.IntRange(1, 3).Draw(rt, "concurrency"),
		"skip_delivered": rapid.IntRange(0, 3).Draw(rt, "skip") == 0,
		"replace":        e.h.calendars && rapid.Bool().Draw(rt, "replace"),
	}
	v, err := e.now(rt.Context())
	if err != nil {
		return err
	}
	if e.name == "minute" && v.calendar.step() == time.Hour {
		back, n = 0, 1 // it may come to be cut into minutes
	}
	end := v.calendar.floor(time.Now())
	for range back {
		end = v.calendar.before(end).Start
	}
	start := end
	for range n {
		start = v.calendar.before(start).Start
	}
	options["start_at"], options["end_at"] = v.calendar.bound(start), v.calendar.bound(end)
	return e.call(rt.Context(), http.MethodPost, "/backfills", options, nil)
}

func (e *export) backfillWithFault(rt *rapid.T) error {
	if err := e.arm(rt); err != nil {
		return err
	}
	return e.backfill(rt)
}

func (e *export) fill(rt *rapid.T) error {
	body := map[string]any{"include_paused": rapid.Bool().Draw(rt, "paused")}
	return e.call(rt.Context(), http.MethodPost, "/coverage/fill", body, nil)
}

// changeCalendar changes interval, timezone and offsets.
func (e *export) changeCalendar(rt *rapid.T) error {
	return e.call(rt.Context(), http.MethodPatch, "", rapid.SampledFrom(e.calendars).Draw(rt, "calendar"), nil)
}

func (e *export) unpause(rt *rapid.T) error {
	body := map[string]any{"backfill": rapid.Bool().Draw(rt, "backfill")}
	return e.call(rt.Context(), http.MethodPost, "/unpause", body, nil)
}

// act does something to one run or backfill, if there is one.
func (e *export) act(rt *rapid.T, what string, onlyOpen bool, action string) error {
	one, err := e.pick(rt, what, onlyOpen)
	if err != nil || one == nil {
		return err
	}
	return e.call(rt.Context(), http.MethodPost, "/"+what+"/"+one.ID+action, nil, nil)
}

// pick chooses a run or a backfill.
func (e *export) pick(rt *rapid.T, what string, onlyOpen bool) (*listed, error) {
	choice := rapid.IntRange(0, 9).Draw(rt, "which")
	all, err := e.list(rt.Context(), what)
	if err != nil {
		return nil, err
	}
	var some []listed
	for _, one := range all {
		if !onlyOpen || open(one.Status) {
			some = append(some, one)
		}
	}
	if len(some) == 0 {
		return nil, nil
	}
	return &some[choice%len(some)], nil
}

// workflowOf chooses the workflow of a run or backfill.
func (e *export) workflowOf(rt *rapid.T, onlyOpen bool) (string, error) {
	what := rapid.SampledFrom([]string{"runs", "backfills"}).Draw(rt, "what")
	one, err := e.pick(rt, what, onlyOpen)
	if err != nil || one == nil {
		return "", err
	}
	if what == "backfills" {
		return batch.BackfillWorkflowID(e.id, uuid.MustParse(one.ID)), nil
	}
	id := batch.WorkflowID(e.id, *one.End)
	if onlyOpen {
		e.stopped[id] = true
	}
	return id, nil
}

func (e *export) cancelInTemporal(rt *rapid.T) error {
	id, err := e.workflowOf(rt, true)
	if err != nil || id == "" {
		return err
	}
	return ignoreGone(e.h.client.CancelWorkflow(rt.Context(), id, ""))
}

func (e *export) terminateInTemporal(rt *rapid.T) error {
	id, err := e.workflowOf(rt, true)
	if err != nil || id == "" {
		return err
	}
	return ignoreGone(e.h.client.TerminateWorkflow(rt.Context(), id, "", "the model"))
}

// resetInTemporal resets an execution, open or over, to any of its decisions.
func (e *export) resetInTemporal(rt *rapid.T) error {
	choice := rapid.IntRange(0, 19).Draw(rt, "decision")
	id, err := e.workflowOf(rt, false)
	if err != nil || id == "" {
		return err
	}
	decisions, err := e.h.decisions(rt.Context(), id)
	if err != nil || len(decisions) == 0 {
		return ignoreGone(err)
	}
	_, err = e.h.client.ResetWorkflowExecution(rt.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id}, Reason: "the model",
		WorkflowTaskFinishEventId: decisions[choice%len(decisions)], RequestId: uuid.NewString(),
	})
	if _, moved := errors.AsType[*serviceerror.InvalidArgument](err); moved {
		return nil // it has gone on in another execution, which has other events
	}
	return ignoreGone(err)
}

// decisions are the events to which the newest execution under an id can be reset.
func (h *harness) decisions(ctx context.Context, id string) ([]int64, error) {
	var all []int64
	history := h.client.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return nil, err
		}
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			all = append(all, event.GetEventId())
		}
	}
	return all, nil
}

// schedule is the export's.
func (e *export) schedule(ctx context.Context) client.ScheduleHandle {
	return e.h.client.ScheduleClient().GetHandle(ctx, e.id.String())
}

func (e *export) pauseInTemporal(rt *rapid.T) error {
	return ignoreGone(e.schedule(rt.Context()).Pause(rt.Context(), client.SchedulePauseOptions{Note: "the model"}))
}

func (e *export) unpauseInTemporal(rt *rapid.T) error {
	return ignoreGone(e.schedule(rt.Context()).Unpause(rt.Context(), client.ScheduleUnpauseOptions{Note: "the model"}))
}

// trigger starts the schedule by hand, as the button in the Web UI does.
func (e *export) trigger(rt *rapid.T) error {
	e.triggered = append(e.triggered, time.Now())
	return ignoreGone(e.schedule(rt.Context()).Trigger(rt.Context(), client.ScheduleTriggerOptions{}))
}
