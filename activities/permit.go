package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"tranche/batch"
)

// Admit asks for leave to work for a run that had to wait. It never waits itself, which would keep a worker's slot from
// others: refused, it fails in a way that makes Temporal ask again after a while.
func (a *Activities) Admit(ctx context.Context, in RunInput) error {
	err := a.admit(ctx, in)
	if err == nil {
		return nil
	}
	code := batch.CodeOf(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: !code.Retryable(), Category: temporal.ApplicationErrorCategoryBenign}
	if code == batch.CodeBusy {
		options.NextRetryDelay = a.Limits.Admission
	}
	return temporal.NewApplicationErrorWithOptions(batch.MessageOf(err), string(code), options)
}

func (a *Activities) admit(ctx context.Context, in RunInput) error {
	d, err := a.definition(ctx, in.RunID)
	if err != nil {
		return err
	}
	if d.run.Status.Final() {
		return errRunCancelled()
	}
	wait, err := a.permit(ctx, d)
	if err != nil || wait == "" {
		return err
	}
	return batch.Errorf(batch.CodeBusy, nil, "%s", wait)
}

// permit lets the run work, or says what it has to wait for, here and on the run.
func (a *Activities) permit(ctx context.Context, d delivery) (wait string, err error) {
	if !a.Concurrency.Limited() {
		return "", nil
	}
	err = a.Store.AcquirePermit(ctx, batch.Permit{
		RunID: d.run.ID, ExportID: d.export.ID, TeamID: d.export.TeamID, Backfill: d.run.BackfillID != nil,
		Host: d.plugin.Host(d.export.Destination.Config),
	}, a.Concurrency, a.Limits.Permit)
	if err != nil && batch.CodeOf(err) != batch.CodeBusy {
		return "", err
	}
	if err != nil {
		wait = batch.MessageOf(err)
	}
	return wait, a.tellWaiting(ctx, d, wait)
}

// tellWaiting says on the run what it waits for, and in its log when that begins and ends.
func (a *Activities) tellWaiting(ctx context.Context, d delivery, wait string) error {
	before := d.run.WaitingFor
	if before == wait {
		return nil
	}
	_, err := a.Store.UpdateRun(ctx, d.run.ID, func(r *batch.Run) error {
		if r.Status.Final() {
			return errRunCancelled()
		}
		r.WaitingFor = wait
		return nil
	})
	switch {
	case err != nil:
		return err
	case before == "":
		a.say(d.run, batch.LogInfo, fmt.Sprintf("The run for range %s waits: %s.", d.run.Interval, wait))
	case wait == "":
		a.say(d.run, batch.LogInfo, fmt.Sprintf("The run for range %s waits no longer.", d.run.Interval))
	}
	return nil
}

// renewalsPerPermit is how often a permit is kept alive within its life.
const renewalsPerPermit = 4

// keepPermit keeps the run's permit alive until the returned function is called. That it cannot be kept is no reason to
// stop: at worst another run works beside this one.
func (a *Activities) keepPermit(ctx context.Context, runID uuid.UUID) (stop func()) {
	if !a.Concurrency.Limited() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	ticker := time.NewTicker(a.Limits.Permit / renewalsPerPermit)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			err := a.Store.KeepPermit(ctx, runID, a.Limits.Permit)
			if err != nil && ctx.Err() == nil {
				a.log(ctx).Warn("A permit could not be renewed; trying again.", zap.Error(err))
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// releasePermit makes room for another run. A permit that stays expires.
func (a *Activities) releasePermit(ctx context.Context, r batch.Run) {
	if !a.Concurrency.Limited() {
		return
	}
	if err := a.Store.ReleasePermit(ctx, r.ID); err != nil {
		a.log(ctx).Warn("A permit could not be released; it expires.", zap.Error(err))
	}
}

// errRunCancelled ends the work of a run that somebody cancelled.
func errRunCancelled() error { return batch.Errorf(batch.CodeCancelled, nil, "the run was cancelled") }
