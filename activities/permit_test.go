package activities_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"tranche/activities"
	"tranche/batch"
)

// narrow is a process of a server where one run of an export works at a time.
func (p *place) narrow(life time.Duration) *process {
	p.Helper()
	w := p.process()
	w.activities.Concurrency = batch.Concurrency{PerExport: 1}
	w.activities.Limits.Permit, w.activities.Limits.Admission = life, 3*time.Second
	return w
}

func (w *process) admit(id uuid.UUID) error {
	_, err := w.env.ExecuteActivity(w.activities.Admit, activities.RunInput{RunID: id, Generation: 1})
	return err
}

func (p *place) waitingFor(id uuid.UUID) string {
	p.Helper()
	r, err := p.db.RunByID(p.Context(), id)
	require.NoError(p, err)
	return r.WaitingFor
}

func TestARunWaitsForItsPlaceAndSaysSo(t *testing.T) {
	t.Parallel()
	const full = "1 runs of this batch export work already, and the limit is 1"
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.narrow(time.Minute)
	first, second := p.begin(), p.begin()
	w.stage(first)
	planned, err := w.plan(second)
	require.NoError(t, err)
	require.Equal(t, activities.Planned{Waiting: full}, planned)
	require.Equal(t, full, p.waitingFor(second))
	require.True(t, p.logs.has(batch.LogInfo, "waits: "+full))

	err = w.admit(second)
	requireCode(t, err, batch.CodeBusy)
	var busy *temporal.ApplicationError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, 3*time.Second, busy.NextRetryDelay())
	require.Empty(t, p.waitingFor(first))

	require.NoError(t, w.commit(first, 1))
	w.finish(activities.FinishInput{RunID: first, Status: batch.RunCompleted})
	require.NoError(t, w.admit(second))
	require.Empty(t, p.waitingFor(second))
	require.True(t, p.logs.has(batch.LogInfo, "waits no longer"))
	planned, err = w.plan(second)
	require.NoError(t, err)
	require.Empty(t, planned.Waiting)
	require.Equal(t, 1, planned.Splits)
}

func TestThePlaceOfADeadRunIsFreeAfterAWhile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	first, second := p.begin(), p.begin()
	planned, err := p.narrow(time.Second).plan(first) // and nothing more is heard of it
	require.NoError(t, err)
	require.Empty(t, planned.Waiting)
	w := p.narrow(time.Minute)
	require.Eventually(t, func() bool { return w.admit(second) == nil }, 20*time.Second, 50*time.Millisecond)
}

func TestARunThatWorksKeepsItsPlace(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.narrow(2 * time.Second)
	first, second := p.begin(), p.begin()
	w.stage(first)
	reached, goOn := w.gate.stopAt("publish", stall)
	done := make(chan error, 1)
	go func() { done <- w.commit(first, 1) }()
	<-reached
	other := p.narrow(2 * time.Second)
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); {
		requireCode(t, other.admit(second), batch.CodeBusy)
	}
	goOn()
	require.NoError(t, <-done)
}

func TestARunThatIsCancelledWhileItWaitsIsNotAdmitted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.narrow(time.Minute)
	first, second := p.begin(), p.begin()
	_, err := w.plan(first)
	require.NoError(t, err)
	_, err = w.plan(second)
	require.NoError(t, err)
	_, err = p.db.UpdateRun(t.Context(), second, func(r *batch.Run) error { r.Status = batch.RunCancelled; return nil })
	require.NoError(t, err)
	requireCode(t, w.admit(second), batch.CodeCancelled)
}
