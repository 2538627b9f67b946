package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Queue is what Temporal's server tells of a task queue.
type Queue struct {
	Name string
	// Kind is what waits in it: workflow or activity.
	Kind string
	// Pollers is how many workers asked for work of late.
	Pollers int
	// Backlog is how many tasks wait, about, and Age how long the oldest has waited.
	Backlog int64
	Age     time.Duration
	// Dispatched is how many tasks were handed to workers per second, over the last half minute.
	Dispatched float64
}

// QueueStore is what a QueueCollector needs of Temporal.
type QueueStore interface {
	Queues(ctx context.Context) ([]Queue, error)
}

const (
	queuesTimeout = 2 * time.Second
	queuesCached  = 5 * time.Second
)

// A QueueCollector tells, at each scrape, what waits in Temporal's task queues: of a queue without workers, no worker
// tells.
type QueueCollector struct {
	queues *cached[[]Queue]

	pollers, backlog, age, dispatched *prometheus.Desc
}

// NewQueueCollector returns a collector for a registry.
func NewQueueCollector(store QueueStore, now func() time.Time) *QueueCollector {
	labels := []string{"queue", "kind"}
	return &QueueCollector{
		queues: newCached(now, queuesCached, queuesTimeout, func(ctx context.Context) ([]Queue, error) {
			return store.Queues(ctx)
		}),
		pollers: prometheus.NewDesc("tranche_queue_pollers",
			"Workers that asked for tasks of the queue in the last minute or so.", labels, nil),
		backlog: prometheus.NewDesc("tranche_queue_backlog_tasks",
			"Tasks that wait in the queue for a worker, about.", labels, nil),
		age: prometheus.NewDesc("tranche_queue_backlog_age_seconds",
			"How long the oldest task has waited in the queue.", labels, nil),
		dispatched: prometheus.NewDesc("tranche_queue_dispatched_tasks_per_second",
			"Tasks of the queue that were handed to workers, per second over the last half minute.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *QueueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.pollers, c.backlog, c.age, c.dispatched} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *QueueCollector) Collect(ch chan<- prometheus.Metric) {
	queues, err := c.queues.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.pollers, err)
		return
	}
	for _, q := range queues {
		for desc, value := range map[*prometheus.Desc]float64{
			c.pollers: float64(q.Pollers), c.backlog: float64(q.Backlog), c.age: q.Age.Seconds(), c.dispatched: q.Dispatched,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, q.Name, q.Kind)
		}
	}
}
