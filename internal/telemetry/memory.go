package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
)

// A Budget is what a worker's splits share of its memory.
type Budget struct {
	Limit, Used int64 // bytes
	// Waiting is how many splits wait for a part of it.
	Waiting int64
}

// A BudgetCollector tells of a worker's memory budget.
type BudgetCollector struct {
	read func() Budget

	limit, used, waiting *prometheus.Desc
}

// NewBudgetCollector returns a collector for a registry.
func NewBudgetCollector(read func() Budget) *BudgetCollector {
	return &BudgetCollector{
		read:    read,
		limit:   prometheus.NewDesc("tranche_memory_budget_bytes", "What the splits that this worker stages at once may hold.", nil, nil),
		used:    prometheus.NewDesc("tranche_memory_used_bytes", "What the splits that this worker stages now have of that budget.", nil, nil),
		waiting: prometheus.NewDesc("tranche_memory_waiting_splits", "Splits that have a slot of this worker and wait for a part of its memory budget.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *BudgetCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.limit
	ch <- c.used
	ch <- c.waiting
}

// Collect implements prometheus.Collector.
func (c *BudgetCollector) Collect(ch chan<- prometheus.Metric) {
	b := c.read()
	ch <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(b.Limit))
	ch <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(b.Used))
	ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(b.Waiting))
}
