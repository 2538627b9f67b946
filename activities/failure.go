package activities

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"tranche/batch"
)

// guard runs one try of an activity of a run: it beats while work runs, records a failure on the run where users look,
// and gives Temporal an error that holds no cause: causes may quote rows or hosts, and histories are for ever. For a run
// that a reset has left behind there is no work.
func (a *Activities) guard(ctx context.Context, runID uuid.UUID, reset bool, m *meter, work func(ctx context.Context) error) error {
	if reset {
		return applicationError(batch.Errorf(batch.CodeSuperseded, nil, "the workflow was reset: its interval is delivered by a new run"))
	}
	stop := beat(ctx, a.Limits.Heartbeat, m)
	keep := a.keepPermit(ctx, runID)
	err := a.recovered(ctx, work)
	keep()
	stop()
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) && batch.CodeOf(err).Retryable() {
		return ctx.Err() // cancelled, or the worker stops: not a failure of the run
	}
	if hopeless := a.record(context.WithoutCancel(ctx), runID, err); hopeless {
		return temporal.NewNonRetryableApplicationError(batch.MessageOf(err), string(batch.CodeOf(err)), nil)
	}
	return applicationError(err)
}

// unclassifiedTries is how often work is tried that fails for a reason that nobody has classified, the last time twice in a
// row: with the policy's back-off that takes most of an hour. Giving up on a customer's data is the costlier mistake,
// but a defect must not look like an outage for days.
const unclassifiedTries = 50

// errPanic is the cause of a failure that was a panic.
var errPanic = errors.New("an activity panicked")

// recovered turns a panic into an error of ours. Only the runtime's own text is kept: any other may quote rows or secrets.
func (a *Activities) recovered(ctx context.Context, work func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, _ := p.(runtime.Error) // nil for all that is not the runtime's
			a.log(ctx).Error("An activity panicked.", zap.NamedError("panic", cause), zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))
			err = batch.Errorf(batch.CodeInternal, errors.Join(errPanic, cause), "%s", batch.InternalMessage)
		}
	}()
	return work(ctx)
}

// record writes the failed try to the run and to its log. It says whether trying again is hopeless although the error
// itself does not say so.
func (a *Activities) record(ctx context.Context, runID uuid.UUID, err error) (hopeless bool) {
	ctx, cancel := context.WithTimeout(ctx, a.Limits.Short)
	defer cancel()
	info := activity.GetInfo(ctx)
	code, message := batch.CodeOf(err), batch.MessageOf(err)
	a.log(ctx).Warn("An activity failed.", zap.String("code", string(code)), zap.Error(err))
	var next *time.Time
	if code.Retryable() {
		t := a.Now().UTC().Add(retryDelay(err, info))
		next = &t
		a.Metrics.ActivityRetried(code)
	}
	r, saveErr := a.Store.UpdateRun(ctx, runID, func(r *batch.Run) error {
		if r.Status.Final() {
			return batch.ErrUnchanged
		}
		if hopeless = code == batch.CodeInternal && r.ErrorCode == code && info.Attempt >= unclassifiedTries; hopeless {
			next = nil
		}
		r.Attempt, r.LatestError, r.ErrorCode, r.NextRetryAt = int(info.Attempt), message, code, next
		return nil
	})
	if saveErr != nil {
		a.log(ctx).Error("A failed try could not be recorded on its run.", zap.Error(saveErr))
		return false
	}
	if next != nil && !r.Status.Final() {
		a.say(r, batch.LogWarning, fmt.Sprintf("Attempt %d of range %s failed and will be repeated at %s: %s",
			info.Attempt, r.Interval, next.Format(time.RFC3339), message))
	}
	return hopeless
}

// retryDelay is when Temporal will try again: the error's own hint or the policy's back-off.
func retryDelay(err error, info activity.Info) time.Duration {
	if e, ok := errors.AsType[*batch.Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	if info.RetryPolicy == nil {
		return time.Second
	}
	delay := info.RetryPolicy.InitialInterval
	for range min(info.Attempt-1, 32) {
		delay = min(time.Duration(float64(delay)*info.RetryPolicy.BackoffCoefficient), info.RetryPolicy.MaximumInterval)
	}
	return delay
}

// applicationError is what Temporal sees of err: code, message, whether to retry. A failure that the customer must mend
// is benign: it is not an operator's alarm.
func applicationError(err error) error {
	code := batch.CodeOf(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: !code.Retryable()}
	if e, ok := errors.AsType[*batch.Error](err); ok {
		options.NextRetryDelay = e.RetryAfter
	}
	if code.Fault() == batch.Customers {
		options.Category = temporal.ApplicationErrorCategoryBenign
	}
	return temporal.NewApplicationErrorWithOptions(batch.MessageOf(err), string(code), options)
}
