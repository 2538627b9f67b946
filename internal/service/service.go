// Package service puts the parts of Tranche together, the same way for the service and for the embedded stack: the use
// cases over database and Temporal, and the worker with its housekeeping.
package service

import (
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
	"tranche/internal/safenet"
	"tranche/internal/telemetry"
	"tranche/internal/webhook"
	"tranche/query"
	"tranche/sources"
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
	// Source tells previews what there is; nil = they do not say.
	Source  sources.Source
	Metrics *telemetry.Metrics
	RunLog  *telemetry.RunLog
	Log     *zap.Logger
	// CatchUp is how long an outage may last without intervals being lost; zero = workflows.DefaultCatchUp.
	CatchUp time.Duration
	// Converter is the one that Temporal was opened with; nil = the SDK's default.
	Converter converter.DataConverter
	// Namespace is that of Temporal; empty = default.
	Namespace string
	// Installation is who we are among those who share the namespace; zero = schedules do not say whose they are.
	Installation uuid.UUID
	// Registry is where the parts register what they measure; nil = nowhere.
	Registry *prometheus.Registry
	// Tracing makes traces; nil = none.
	Tracing *telemetry.Tracing
	// Guard says which hosts customers may be notified at.
	Guard safenet.Guard
}

// store is the database, which knows what of a definition is secret.
func (p Parts) store() *storage.DB {
	return p.DB.WithPlugins(p.Plugins).WithLost(func(event batch.Event, err error) {
		p.Metrics.Notified(event, activities.OutcomeLost)
		p.Log.Error("A notification could not be written beside what it is about.", zap.String("event", string(event)), zap.Error(err))
	})
}

// sender posts notifications.
func (p Parts) sender() *webhook.Sender { return webhook.NewSender(p.Guard, nil) }

// notifier starts the workflows of notifications.
func (p Parts) notifier() *app.Notifier {
	return &app.Notifier{Store: p.store(), Workflows: p.flows(), Log: p.Log}
}

// flows is our side of Temporal.
func (p Parts) flows() *workflows.Client {
	return &workflows.Client{Temporal: p.Temporal, CatchUp: p.CatchUp, Namespace: p.Namespace, Converter: p.Converter, Installation: p.Installation}
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
	Exports       *app.Exports
	Runs          *app.Runs
	Backfills     *app.Backfills
	Coverage      *app.Coverage
	Logs          *app.Logs
	Audit         *app.Audit
	Notifications *app.Notifications
	Workflows     *workflows.Client
}

// UseCases wires the use cases.
func (p Parts) UseCases(q Quotas) UseCases {
	flows := p.flows()
	backfills := &app.Backfills{
		Store: p.store(), Workflows: flows, Models: p.Models, Lookback: p.Lookback, Plugins: p.Plugins, Log: p.Log, Now: time.Now,
		Limit: q.Backfills, Concurrency: q.BackfillConcurrency, MostConcurrency: max(q.BackfillConcurrency, q.MostBackfillConcurrency),
	}
	previews := &app.Previews{} // both kinds ask the same source
	backfills.Previews = previews
	runs := &app.Runs{Store: p.store(), Workflows: flows, Backfills: backfills, Logs: p.RunLog, Log: p.Log, Now: time.Now}
	backfills.Runs = runs
	exports := &app.Exports{
		Store: p.store(), Schedules: flows, Models: p.Models, Plugins: p.Plugins, Runs: runs, Backfills: backfills,
		Logs: p.RunLog, Log: p.Log, Now: time.Now, Previews: previews,
	}
	if p.Source != nil {
		backfills.Source, exports.Source, exports.Rows = p.Source, p.Source, sources.Sampler{Source: p.Source}
	}
	return UseCases{
		Exports: exports,
		Runs:    runs, Backfills: backfills, Logs: &app.Logs{Store: p.store()}, Workflows: flows,
		Audit:         &app.Audit{Store: p.store()},
		Notifications: &app.Notifications{Store: p.store(), Sender: p.sender(), Log: p.Log, Now: time.Now, Limit: app.DefaultSubscriptions},
		Coverage:      &app.Coverage{Store: p.store(), Backfills: backfills, Now: time.Now},
	}
}
