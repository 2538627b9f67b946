package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"tranche/batch"
)

// Steps are where the time of runs went, by the name of the step, in the order in which the first run came to them.
type steps struct {
	names []string
	times map[string][]time.Duration
}

func (s *steps) add(name string, d time.Duration) {
	if s.times == nil {
		s.times = map[string][]time.Duration{}
	}
	if _, known := s.times[name]; !known {
		s.names = append(s.names, name)
	}
	s.times[name] = append(s.times[name], d)
}

// read adds the steps of a run's history: how long workflow tasks and activities waited for a worker, and how long they took.
func (s *steps) read(ctx context.Context, temporal client.Client, r batch.Run) error {
	scheduled, started, names := map[int64]time.Time{}, map[int64]time.Time{}, map[int64]string{}
	var waits, works time.Duration // of workflow tasks
	events := temporal.GetWorkflowHistory(ctx, r.WorkflowID, r.TemporalRunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		at := e.GetEventTime().AsTime()
		switch {
		case e.GetWorkflowTaskScheduledEventAttributes() != nil:
			scheduled[e.GetEventId()] = at
		case e.GetWorkflowTaskStartedEventAttributes() != nil:
			started[e.GetEventId()] = at
			waits += at.Sub(scheduled[e.GetWorkflowTaskStartedEventAttributes().GetScheduledEventId()])
		case e.GetWorkflowTaskCompletedEventAttributes() != nil:
			works += at.Sub(started[e.GetWorkflowTaskCompletedEventAttributes().GetStartedEventId()])
		case e.GetActivityTaskScheduledEventAttributes() != nil:
			scheduled[e.GetEventId()] = at
			names[e.GetEventId()] = e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
		case e.GetActivityTaskStartedEventAttributes() != nil:
			id := e.GetActivityTaskStartedEventAttributes().GetScheduledEventId()
			started[e.GetEventId()] = at
			s.add(names[id]+" waits", at.Sub(scheduled[id]))
		case e.GetActivityTaskCompletedEventAttributes() != nil:
			a := e.GetActivityTaskCompletedEventAttributes()
			s.add(names[a.GetScheduledEventId()]+" works", at.Sub(started[a.GetStartedEventId()]))
		}
	}
	s.add("all workflow tasks wait", waits)
	s.add("all workflow tasks work", works)
	return nil
}

func (s *steps) print(out io.Writer) {
	for _, name := range s.names {
		times := slices.Clone(s.times[name])
		fmt.Fprintf(out, "    %-28s %s\n", name, spread(times))
	}
}
