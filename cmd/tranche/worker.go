package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tranche/activities"
	"tranche/internal/service"
	"tranche/internal/telemetry"
)

func workerCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "worker", Short: "Deliver intervals; several workers share the work", Args: cobra.NoArgs}
	getenv = withFlags(cmd, getenv, map[string]string{
		"task-queues": "TRANCHE_TASK_QUEUES", "slots": "TRANCHE_WORKER_SLOTS", "backfill-slots": "TRANCHE_BACKFILL_SLOTS",
		"memory-mb": "TRANCHE_MEMORY_MB", "metrics-listen": "TRANCHE_METRICS_LISTEN", "build-id": "TRANCHE_BUILD_ID",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_MASTER_KEYS", "TRANCHE_SOURCE_URL")
		if err != nil {
			return err
		}
		return runWorker(cmd.Context(), c)
	}
	return cmd
}

// housekeeping is how often a worker repairs and sweeps, and how long it leaves new things alone.
const (
	housekeepEvery = 30 * time.Second
	housekeepGrace = 30 * time.Second
)

func runWorker(ctx context.Context, c config) (err error) {
	p, err := open(ctx, c, "worker")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	source, err := service.OpenSource(c.SourceURL, p.Models)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := service.CheckModels(ctx, source, c.Models, p.Log); err != nil {
		return fmt.Errorf("the models do not fit the source:\n%w", err)
	}
	limits := activities.Production()
	limits.Settle, limits.SettleSubHourly = c.SettleDelay, c.SettleDelaySub
	worker, err := p.StartWorker(service.WorkerOptions{
		Source: source, Limits: limits, Slots: c.WorkerSlots, BackfillSlots: c.BackfillSlots, Concurrency: c.Concurrency,
		Memory: int64(c.MemoryMB) << 20, Queues: c.Queues, Version: c.version(),
		HousekeepEvery: housekeepEvery, Grace: housekeepGrace, LogRetention: c.LogRetention, RecountAfter: c.LateCheckAfter, AuditRetention: c.AuditRetention,
	})
	if err != nil {
		return err
	}
	defer worker.Stop()
	return serve(ctx, p.Log, c.MetricsListen, p.workerHandler(), shutdownTimeout)
}

// workerHandler serves a worker's health and metrics.
func (p *process) workerHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler(p.Registry))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := p.DB.Ping(r.Context()); err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return mux
}
