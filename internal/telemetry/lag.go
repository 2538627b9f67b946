package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tranche/batch"
)

// LagStore is what a LagCollector needs of the database.
type LagStore interface {
	// LagOf returns, for the most recent active exports, the end of their last delivered interval.
	LagOf(ctx context.Context, limit int) ([]batch.Lag, error)
}

const (
	lagExports = 1000            // series of one metric that a Prometheus takes without complaint
	lagTimeout = 2 * time.Second // a scrape must not hang on a slow database
	lagFresh   = 5 * time.Second // scrapes within it share one query
)

// A LagCollector tells, at each scrape, how far the exports' deliveries are behind the clock.
type LagCollector struct {
	store LagStore
	now   func() time.Time
	each  *prometheus.Desc
	most  *prometheus.Desc

	mu    sync.Mutex
	taken time.Time
	lags  []batch.Lag
	err   error
}

// NewLagCollector returns a collector for a registry.
func NewLagCollector(store LagStore, now func() time.Time) *LagCollector {
	return &LagCollector{
		store: store,
		now:   now,
		each: prometheus.NewDesc("tranche_delivery_lag_seconds",
			"Time since the end of the last delivered interval, of the most recent active exports.", []string{"batch_export_id"}, nil),
		most: prometheus.NewDesc("tranche_delivery_lag_max_seconds",
			"The largest delivery lag of the most recent active exports.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *LagCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.each
	ch <- c.most
}

// Collect implements prometheus.Collector.
func (c *LagCollector) Collect(ch chan<- prometheus.Metric) {
	lags, now, err := c.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.most, err)
		return
	}
	var most float64
	for _, lag := range lags {
		behind := max(0, now.Sub(lag.End).Seconds())
		most = max(most, behind)
		ch <- prometheus.MustNewConstMetric(c.each, prometheus.GaugeValue, behind, lag.ExportID.String())
	}
	ch <- prometheus.MustNewConstMetric(c.most, prometheus.GaugeValue, most)
}

// read returns the lags as they were at most lagFresh ago. Scrapes at the same time wait for one query.
func (c *LagCollector) read() ([]batch.Lag, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.taken.IsZero() && now.Sub(c.taken) < lagFresh {
		return c.lags, now, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	c.lags, c.err = c.store.LagOf(ctx, lagExports)
	c.taken = now
	return c.lags, now, c.err
}
