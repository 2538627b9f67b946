package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations/destinationtest/memory"
)

// requireCode requires that an activity failed with the code, for good or not.
func requireCode(t *testing.T, err error, code batch.Code) {
	t.Helper()
	var failed *temporal.ApplicationError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, string(code), failed.Type(), failed.Message())
	require.Equal(t, !code.Retryable(), failed.NonRetryable())
}

func TestARunDeliversItsIntervalAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.splits = 3
	p.source.add(interval, 20)
	id := p.process().deliver()
	p.sees(p.source.ids(interval))
	p.deliveredBy(id)
	p.stagesNothing()
	r, err := p.db.RunByID(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, batch.RunCompleted, r.Status)
	require.EqualValues(t, 20, *r.RowsCompleted)
}

func TestARunThatFreezesBeforeItPublishesIsFencedByTheNext(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"acquire lease", "trash", "publish", "manifest"} {
		t.Run("frozen before "+step, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 5)
			stale, fresh := p.process(), p.process()
			old := p.begin()
			stale.stage(old)
			p.source.add(interval, 5) // so that the two runs differ
			reached, goOn := stale.gate.stopAt(step, freeze)
			done := make(chan error, 1)
			go func() { done <- stale.commit(old, 1) }()
			<-reached

			id := p.begin()
			fresh.stage(id)
			require.Eventually(t, func() bool { return fresh.commit(id, 1) == nil }, 20*time.Second, 50*time.Millisecond)
			p.sees(p.source.ids(interval))

			goOn()
			requireCode(t, <-done, batch.CodeSuperseded)
			p.sees(p.source.ids(interval))
			p.deliveredBy(id)
		})
	}
}

func TestARunThatFreezesBeforeItRecordsDoesNotOverwriteTheNextOnesRecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	stale, fresh := p.process(), p.process()
	old := p.begin()
	stale.stage(old)
	reached, goOn := stale.gate.stopAt("record delivery", freeze)
	done := make(chan error, 1)
	go func() { done <- stale.commit(old, 1) }()
	<-reached
	p.source.add(interval, 3)
	id := p.begin()
	fresh.stage(id)
	require.Eventually(t, func() bool { return fresh.commit(id, 1) == nil }, 20*time.Second, 50*time.Millisecond)
	goOn()
	requireCode(t, <-done, batch.CodeSuperseded)
	p.deliveredBy(id)
	p.sees(p.source.ids(interval))
}

func TestOnlyOneRunCommitsAnIntervalAtATime(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	first, second := p.process(), p.process()
	a, b := p.begin(), p.begin()
	first.stage(a)
	second.stage(b)
	reached, goOn := first.gate.stopAt("publish", stall)
	done := make(chan error, 1)
	go func() { done <- first.commit(a, 1) }()
	<-reached
	// The second is fenced by the first, or finds its lease: either way it must not publish now.
	err := second.commit(b, 1)
	require.Error(t, err)
	require.Empty(t, p.world.Visible())
	goOn()
	require.NoError(t, <-done)
	p.deliveredBy(a)
}

func TestALeaseThatIsKeptAliveIsNotTaken(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	first, second := p.process(), p.process()
	a := p.begin()
	first.stage(a)
	reached, goOn := first.gate.stopAt("publish", stall)
	done := make(chan error, 1)
	go func() { done <- first.commit(a, 1) }()
	<-reached
	b := p.begin() // staged after the first one's fence
	second.stage(b)
	for range 3 {
		requireCode(t, second.commit(b, 1), batch.CodeBusy)
	}
	goOn()
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return second.commit(b, 1) == nil }, 20*time.Second, 50*time.Millisecond)
	p.deliveredBy(b)
	p.sees(p.source.ids(interval))
}

func TestRowsThatBecomeVisibleLateAreStagedOnceMore(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	w.stage(id)
	p.source.add(interval, 2)
	recounted := w.recount(id, 1)
	require.NotNil(t, recounted.Again)
	require.Equal(t, 2, recounted.Again.Generation)
	w.stageAll(id, *recounted.Again)
	require.Nil(t, w.recount(id, 2).Again)
	require.NoError(t, w.commit(id, 2))
	p.sees(p.source.ids(interval))
	w.finish(activities.FinishInput{RunID: id, Status: batch.RunCompleted})
	p.stagesNothing()
}

func TestASourceThatStillChangesIsSaidSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	w.stage(id)
	p.source.add(interval, 1)
	w.stageAll(id, *w.recount(id, 1).Again)
	staged := p.source.ids(interval)
	p.source.add(interval, 4)
	require.Nil(t, w.recount(id, 2).Again)
	require.True(t, p.logs.has(batch.LogWarning, "6 rows were staged and will be published, it now has 10"))
	require.NoError(t, w.commit(id, 2))
	p.sees(staged)
}

func TestACommitWhoseAnswerIsLostIsFoundDone(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"trash", "publish", "manifest", "record delivery", "delivery is recorded"} {
		t.Run("dead before "+step, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.splits = 3
			p.source.add(interval, 4000)
			p.process().deliver()
			id := p.begin()
			dying := p.process()
			dying.stage(id)
			dying.gate.stopAt(step, die)
			require.Error(t, dying.commit(id, 1))
			next := p.process()
			require.NoError(t, next.commit(id, 1))
			require.NoError(t, next.commit(id, 1))
			p.sees(p.source.ids(interval))
			p.deliveredBy(id)
			next.finish(activities.FinishInput{RunID: id, Status: batch.RunCompleted})
			p.swept()
		})
	}
}

func TestWhatARunPublishedThatDiedInItsCommitIsReplaced(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{2, 0} {
		p := newPlace(t)
		p.source.splits = 3
		p.source.add(interval, 4000)
		id := p.begin()
		dying := p.process()
		dying.stage(id)
		dying.gate.stopAt("record delivery", die)
		require.Error(t, dying.commit(id, 1))
		_, err := p.db.UpdateRun(t.Context(), id, func(r *batch.Run) error {
			r.Status = batch.RunTerminated
			return nil
		})
		require.NoError(t, err)
		p.source.clear()
		p.source.splits = 1
		p.source.add(interval, rows)
		next := p.process()
		again := p.begin()
		next.stage(again)
		require.Eventually(t, func() bool { return next.commit(again, 1) == nil }, 20*time.Second, 50*time.Millisecond)
		p.sees(p.source.ids(interval))
		if rows == 0 {
			require.Empty(t, p.world.Visible())
		}
	}
}

func TestAnIntervalWithoutRowsRemovesWhatWasDelivered(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	p.process().deliver()
	p.source.clear()
	id := p.process().deliver()
	require.Empty(t, p.world.Visible())
	p.deliveredBy(id)
	p.stagesNothing()
}

func TestACancelledRunCannotBeginToCommit(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	w.stage(id)
	_, err := p.db.UpdateRun(t.Context(), id, func(r *batch.Run) error {
		r.Status = batch.RunCancelled
		return nil
	})
	require.NoError(t, err)
	requireCode(t, w.commit(id, 1), batch.CodeCancelled)
	require.Empty(t, p.world.Visible())
	require.Equal(t, batch.RunCancelled, w.finish(activities.FinishInput{RunID: id, Status: batch.RunCancelled}).Status)
	p.stagesNothing()
}

func TestAReceiptOfARunThatIsOverIsRefusedAndItsStagingRemoved(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	_, err := w.plan(id)
	require.NoError(t, err)
	reached, goOn := w.gate.stopAt("save receipt", stall)
	done := make(chan error, 1)
	go func() {
		_, err := w.env.ExecuteActivity(w.activities.Stage, activities.StageInput{RunID: id, Generation: 1, Splits: 1})
		done <- err
	}()
	<-reached
	p.process().finish(activities.FinishInput{RunID: id, Status: batch.RunFailed, Code: batch.CodeTimeout, Message: "too late"})
	goOn()
	requireCode(t, <-done, batch.CodeSuperseded)
	p.stagesNothing()
}

func TestWhatWasDeliveredIsCompletedWhateverFinishIsTold(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	w.stage(id)
	require.NoError(t, w.commit(id, 1))
	finished := w.finish(activities.FinishInput{RunID: id, Status: batch.RunFailed, Code: batch.CodeInternal})
	require.Equal(t, batch.RunCompleted, finished.Status)
	require.EqualValues(t, 5, finished.Rows)
}

func TestAFailedTryShowsOnTheRun(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 5)
	w := p.process()
	id := p.begin()
	planned, err := w.plan(id)
	require.NoError(t, err)
	p.world.Before = func(memory.Op) error { return errors.New("password=hunter2") }
	_, err = w.env.ExecuteActivity(w.activities.Stage, activities.StageInput{RunID: id, Generation: planned.Generation, Splits: planned.Splits})
	requireCode(t, err, batch.CodeUnavailable)
	require.NotContains(t, err.Error(), "hunter2")
	r, err := p.db.RunByID(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "the memory cannot do that now", r.LatestError)
	require.Equal(t, batch.CodeUnavailable, r.ErrorCode)
	require.NotNil(t, r.NextRetryAt)
	require.True(t, p.logs.has(batch.LogWarning, "the memory cannot do that now"))
}

// swept requires that a sweep leaves nothing behind.
func (p *place) swept() {
	p.Helper()
	s := &activities.Sweeper{Activities: p.process().activities, Store: p.db, Grace: -time.Hour}
	require.NoError(p, s.Sweep(p.Context()))
	p.stagesNothing()
}
