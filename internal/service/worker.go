package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/internal/app"
	"tranche/internal/telemetry"
	"tranche/sources"
	"tranche/workflows"
)

// WorkerOptions say how a worker works.
type WorkerOptions struct {
	Source sources.Source
	Limits activities.Limits
	// Slots is how many activities run at once for scheduled runs, BackfillSlots for backfills.
	Slots, BackfillSlots int
	// Queues are the task queues that it serves; none = all.
	Queues []string
	// Version makes the worker one of a deployment with several versions; its zero value = any worker may do any work.
	Version Version
	// Memory is how many bytes the splits that are staged at once may hold; 0 = activities.DefaultMemory.
	Memory int64
	// Concurrency limits how many runs work at once, on all workers together.
	Concurrency batch.Concurrency
	// HousekeepEvery is the pause between two passes of the reconciler and the sweep.
	HousekeepEvery time.Duration
	// Grace is how long a row may be without its workflow, and a finished run with something staged.
	Grace time.Duration
	// LogRetention is how long the lines that customers see are kept.
	LogRetention time.Duration
	// RecountAfter is how long after a delivery its interval is counted again, for rows that came late; 0 = never.
	RecountAfter time.Duration
	// AuditRetention is how long the entries of the audit log are kept; 0 = for ever.
	AuditRetention time.Duration
	// Adjust, if not nil, may change the activities before they are registered, and Interceptors wrap them: tests put
	// their faults there.
	Adjust       func(*activities.Activities)
	Interceptors []interceptor.WorkerInterceptor
}

// Every heartbeat that is due within this time is sent at once, so that a cancel arrives within seconds.
const heartbeatThrottle = 2 * time.Second

// drain is how long a stopping worker lets its activities finish; then they are cancelled and repeated elsewhere.
const drain = 4 * time.Second

// A Worker executes workflows and activities, and keeps house.
type Worker struct {
	workers []worker.Worker
	cancel  context.CancelFunc
	done    chan struct{}
}

// StartWorker starts a worker. It works until Stop.
func (p Parts) StartWorker(o WorkerOptions) (*Worker, error) {
	flows := p.flows()
	acts := &activities.Activities{
		Store: p.store(), Source: o.Source, Models: p.Models, Lookback: p.Lookback, Plugins: p.Plugins, Executions: flows, Failing: p.UseCases(Quotas{}).Exports, Notifier: p.notifier(), Logs: p.RunLog, Metrics: p.Metrics,
		Log: p.Log, Limits: o.Limits, Concurrency: o.Concurrency, Now: time.Now,
		Memory: activities.NewMemory(cmp.Or(o.Memory, activities.DefaultMemory)),
	}
	if err := p.register(workerCollectors(acts.Memory)...); err != nil {
		return nil, err
	}
	p.expect()
	if o.Adjust != nil {
		o.Adjust(acts)
	}
	w := &Worker{done: make(chan struct{})}
	for _, q := range o.queues() {
		sdk := worker.New(p.Temporal, q.name, worker.Options{
			MaxConcurrentActivityExecutionSize: q.slots,
			MaxHeartbeatThrottleInterval:       heartbeatThrottle,
			DefaultHeartbeatThrottleInterval:   heartbeatThrottle,
			WorkerStopTimeout:                  drain,
			Interceptors:                       o.Interceptors,
			DeploymentOptions:                  o.Version.deployment(),
		})
		if q.name == workflows.QueueNotifications {
			sdk.RegisterWorkflow(workflows.Notify)
			sdk.RegisterActivity(&activities.Notices{Store: p.store(), Sender: p.sender(), Metrics: p.Metrics, Log: p.Log, Now: time.Now})
		} else {
			sdk.RegisterWorkflowWithOptions(workflows.ExportInterval, o.Version.ofRuns())
			sdk.RegisterWorkflow(workflows.Backfill)
			sdk.RegisterActivity(acts)
		}
		if err := sdk.Start(); err != nil {
			w.stopWorkers()
			return nil, fmt.Errorf("start worker of %s: %w", q.name, err)
		}
		w.workers = append(w.workers, sdk)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	keeper := housekeeper{
		reconciler: &app.Reconciler{
			Store: p.store(), Workflows: flows, Logs: p.RunLog, Metrics: p.Metrics, Log: p.Log, Now: time.Now, Grace: o.Grace,
			CatchUp: cmp.Or(p.CatchUp, workflows.DefaultCatchUp), Installation: p.Installation,
		},
		sweeper:   &activities.Sweeper{Activities: acts, Store: p.store(), Grace: o.Grace},
		recounter: &activities.Recounter{Activities: acts, Store: p.store(), After: o.RecountAfter},
		watch:     &app.Watch{Store: p.store(), Notifier: p.notifier(), Now: time.Now, Grace: o.Grace},
		store:     p.store(), retention: o.LogRetention, auditRetention: o.AuditRetention, every: o.HousekeepEvery, log: p.Log, metrics: p.Metrics,
	}
	go func() {
		defer close(w.done)
		keeper.run(ctx)
	}()
	return w, nil
}

// noticeSlots is how many notifications are sent at once: they wait for receivers, and cost nothing else.
const noticeSlots = 20

// A queue is a task queue, and how many of its activities run at once.
type queue struct {
	name  string
	slots int
}

// queues are those that the worker serves.
func (o WorkerOptions) queues() []queue {
	all := []queue{
		{workflows.QueueExports, o.Slots}, {workflows.QueueBackfills, o.BackfillSlots}, {workflows.QueueNotifications, noticeSlots},
	}
	if len(o.Queues) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(q queue) bool { return !slices.Contains(o.Queues, q.name) })
}

// Stop lets activities finish for a few seconds, cancels the others and waits.
func (w *Worker) Stop() {
	w.cancel()
	w.stopWorkers()
	<-w.done
}

func (w *Worker) stopWorkers() {
	stopped := make(chan struct{})
	for _, sdk := range w.workers {
		go func() {
			sdk.Stop()
			stopped <- struct{}{}
		}()
	}
	for range w.workers {
		<-stopped
	}
}

// A housekeeper repairs and cleans up, again and again.
type housekeeper struct {
	reconciler *app.Reconciler
	sweeper    *activities.Sweeper
	recounter  *activities.Recounter
	watch      *app.Watch
	store      interface {
		DeleteLogs(ctx context.Context, before time.Time, limit int) (int64, error)
		DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error)
		DeleteAudit(ctx context.Context, before time.Time, limit int) (int64, error)
		DeleteNotifications(ctx context.Context, before time.Time, limit int) (int64, error)
		DeletePermits(ctx context.Context, ago time.Duration, limit int) (int64, error)
	}
	retention      time.Duration
	auditRetention time.Duration
	every          time.Duration
	log            *zap.Logger
	metrics        *telemetry.Metrics
}

// Bounds of one pass, and of one deletion of old log lines and answers.
const (
	passTimeout     = 5 * time.Minute
	logsPerSweep    = 10_000
	answersPerSweep = 10_000
	permitsPerSweep = 10_000
	noticesPerSweep = 10_000
	auditPerSweep   = 10_000
	// permitsKept is how long permits that expired are kept: a run that was only frozen may still renew its own.
	permitsKept = time.Hour
	// noticesKept is how long notifications are kept at least: as long as they are tried, and a day to look at them.
	noticesKept = batch.NotifyFor + 24*time.Hour
)

func (h housekeeper) run(ctx context.Context) {
	ticker := time.NewTicker(h.every)
	defer ticker.Stop()
	h.metrics.HouseKept(time.Now())
	for {
		h.pass(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h housekeeper) pass(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	_, err := h.reconciler.Reconcile(ctx)
	err = errors.Join(err, h.sweeper.Sweep(ctx), h.recounter.Recount(ctx), h.watch.Pass(ctx))
	_, logsErr := h.store.DeleteLogs(ctx, time.Now().Add(-h.retention), logsPerSweep)
	_, answersErr := h.store.DeleteAnswers(ctx, time.Now(), answersPerSweep)
	_, permitsErr := h.store.DeletePermits(ctx, permitsKept, permitsPerSweep)
	_, noticesErr := h.store.DeleteNotifications(ctx, time.Now().Add(-max(h.retention, noticesKept)), noticesPerSweep)
	var auditErr error
	if h.auditRetention > 0 {
		_, auditErr = h.store.DeleteAudit(ctx, time.Now().Add(-h.auditRetention), auditPerSweep)
	}
	if err = errors.Join(err, logsErr, answersErr, permitsErr, noticesErr, auditErr); err == nil {
		h.metrics.HouseKept(time.Now())
	} else if !errors.Is(ctx.Err(), context.Canceled) {
		h.log.Warn("Housekeeping could not do all of its work; the next pass tries again.", zap.Error(err))
	}
}
