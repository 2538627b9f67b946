package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tranche/batch"
)

// FreshnessStore is what a FreshnessCollector needs of the database.
type FreshnessStore interface {
	// LagOf returns how far the newest active exports have come, the newest first.
	LagOf(ctx context.Context, limit int) ([]batch.Lag, error)
}

const (
	freshnessWatched  = 10_000           // exports that are looked at
	freshnessLabelled = 1000             // series of one metric that a Prometheus takes without complaint
	freshnessTimeout  = 2 * time.Second  // a scrape must not hang on a slow database
	freshnessCached   = 10 * time.Second // scrapes within it share one query
)

// A FreshnessCollector tells, at each scrape, how far the exports' deliveries are behind the clock, and which are late.
type FreshnessCollector struct {
	objective batch.Freshness
	now       func() time.Time
	lags      *cached[[]batch.Lag]

	each, most, goal, breach, late *prometheus.Desc
}

// NewFreshnessCollector returns a collector for a registry.
func NewFreshnessCollector(store FreshnessStore, objective batch.Freshness, now func() time.Time) *FreshnessCollector {
	export := []string{"batch_export_id"}
	return &FreshnessCollector{
		objective: objective, now: now,
		lags: newCached(now, freshnessCached, freshnessTimeout, func(ctx context.Context) ([]batch.Lag, error) {
			return store.LagOf(ctx, freshnessWatched)
		}),
		each: prometheus.NewDesc("tranche_delivery_lag_seconds",
			"Time since the end of the last delivered interval, of the 1,000 most recent active exports.", export, nil),
		most: prometheus.NewDesc("tranche_delivery_lag_max_seconds",
			"The largest delivery lag of all active exports whose schedule goes on.", nil, nil),
		goal: prometheus.NewDesc("tranche_freshness_objective_seconds",
			"The largest delivery lag that is in order, of the 1,000 most recent active exports.", export, nil),
		breach: prometheus.NewDesc("tranche_freshness_breach",
			"1 for an export whose next interval should have been delivered by now, else 0; of the 1,000 most recent active exports.", export, nil),
		late: prometheus.NewDesc("tranche_exports_late",
			"How many of all active exports should have delivered an interval by now and have not.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *FreshnessCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.each, c.most, c.goal, c.breach, c.late} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *FreshnessCollector) Collect(ch chan<- prometheus.Metric) {
	lags, err := c.lags.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.most, err)
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := c.now()
	var most, late float64
	for n, lag := range lags {
		breach := 0.0
		if lag.Late(now, c.objective) {
			breach = 1
		}
		late += breach
		behind := max(0, now.Sub(lag.Delivered).Seconds())
		if _, goesOn := lag.Owed(); goesOn && !lag.Delivered.IsZero() {
			most = max(most, behind)
		}
		if n >= freshnessLabelled {
			continue
		}
		id := lag.ExportID.String()
		if !lag.Delivered.IsZero() {
			gauge(c.each, behind, id)
		}
		gauge(c.goal, c.objective.Objective(lag.Span.Frequency).Seconds(), id)
		gauge(c.breach, breach, id)
	}
	gauge(c.most, most)
	gauge(c.late, late)
}
