// Package service puts the parts of Tranche together, the same way for the service and for the embedded stack: the use
// cases over database and Temporal, and the worker with its housekeeping.
package service

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"tranche/destinations"
	"tranche/internal/app"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/storage"
	"tranche/workflows"
)

// Parts are what a process has opened.
type Parts struct {
	DB       *storage.DB
	Temporal client.Client
	Plugins  *destinations.Registry
	// Models are what can be exported.
	Models query.Catalog
	// Lookback leaves out rows that happened longer before their interval; 0 = none.
	Lookback time.Duration
	// Source tells previews of backfills how much there is; nil = they do not say.
	Source  app.Counter
	Metrics *telemetry.Metrics
	RunLog  *telemetry.RunLog
	Log     *zap.Logger
	// CatchUp is how long an outage may last without intervals being lost; zero = workflows.DefaultCatchUp.
	CatchUp time.Duration
}

// store is the database, which knows what of a definition is secret.
func (p Parts) store() *storage.DB { return p.DB.WithPlugins(p.Plugins) }

// flows is our side of Temporal.
func (p Parts) flows() *workflows.Client {
	return &workflows.Client{Temporal: p.Temporal, CatchUp: p.CatchUp}
}

// Quotas are the limits of teams.
type Quotas struct {
	// Backfills is how many backfills of a team may be open at once.
	Backfills int
	// BackfillConcurrency is how many intervals of a backfill run at once unless it says otherwise.
	BackfillConcurrency int
	// MostBackfillConcurrency is how many it may say.
	MostBackfillConcurrency int
}

// UseCases are what the API drives.
type UseCases struct {
	Exports   *app.Exports
	Runs      *app.Runs
	Backfills *app.Backfills
	Coverage  *app.Coverage
	Logs      *app.Logs
	Audit     *app.Audit
	Workflows *workflows.Client
}

// UseCases wires the use cases.
func (p Parts) UseCases(q Quotas) UseCases {
	flows := p.flows()
	backfills := &app.Backfills{
		Store: p.store(), Workflows: flows, Source: p.Source, Models: p.Models, Lookback: p.Lookback, Plugins: p.Plugins, Log: p.Log, Now: time.Now,
		Limit: q.Backfills, Concurrency: q.BackfillConcurrency, MostConcurrency: max(q.BackfillConcurrency, q.MostBackfillConcurrency),
	}
	runs := &app.Runs{Store: p.store(), Workflows: flows, Backfills: backfills, Logs: p.RunLog, Log: p.Log, Now: time.Now}
	backfills.Runs = runs
	return UseCases{
		Exports: &app.Exports{
			Store: p.store(), Schedules: flows, Models: p.Models, Plugins: p.Plugins, Runs: runs, Backfills: backfills,
			Logs: p.RunLog, Log: p.Log, Now: time.Now,
		},
		Runs: runs, Backfills: backfills, Logs: &app.Logs{Store: p.store()}, Workflows: flows,
		Audit:    &app.Audit{Store: p.store()},
		Coverage: &app.Coverage{Store: p.store(), Backfills: backfills, Now: time.Now},
	}
}
