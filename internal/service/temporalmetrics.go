package service

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// A sdkMetric is a metric of Temporal's SDK that we serve: under its name, with what Prometheus wants appended to it, and
// with those of its tags that have few values. Metrics of features that we do not use are left out.
type sdkMetric struct {
	name, help string
	labels     []string
}

// What the SDK counts, sets and times.
var (
	sdkCounters = []sdkMetric{
		{"temporal_request", "Calls to Temporal's server.", []string{"operation"}},
		{"temporal_request_failure", "Calls to Temporal's server that failed.", []string{"operation", "status_code"}},
		{"temporal_long_request", "Long polls of Temporal's server.", []string{"operation"}},
		{"temporal_long_request_failure", "Long polls of Temporal's server that failed.", []string{"operation", "status_code"}},
		{"temporal_workflow_completed", "Workflows that this worker saw complete.", []string{"workflow_type"}},
		{"temporal_workflow_failed", "Workflows that this worker saw fail.", []string{"workflow_type"}},
		{"temporal_workflow_canceled", "Workflows that this worker saw cancelled.", []string{"workflow_type"}},
		{"temporal_workflow_continue_as_new", "Workflows that this worker saw continue as new.", []string{"workflow_type"}},
		{"temporal_workflow_task_queue_poll_empty", "Polls for workflow tasks that brought none.", []string{"task_queue"}},
		{"temporal_workflow_task_queue_poll_succeed", "Workflow tasks that were polled.", []string{"task_queue"}},
		{"temporal_workflow_task_execution_failed", "Workflow tasks that failed; NonDeterminismError: the code does not fit the history.", []string{"workflow_type", "failure_reason"}},
		{"temporal_workflow_task_no_completion", "Workflow tasks that ended without an answer.", []string{"workflow_type"}},
		{"temporal_activity_poll_no_task", "Polls for activities that brought none.", []string{"task_queue"}},
		{"temporal_activity_execution_failed", "Tries of activities that failed.", []string{"activity_type"}},
		{"temporal_activity_task_error", "Activities that ended in an error of the SDK or a panic.", []string{"activity_type"}},
		{"temporal_worker_start", "Workers that were started in this process.", []string{"task_queue", "worker_type"}},
		{"temporal_poller_start", "Pollers that were started in this process.", []string{"task_queue", "poller_type"}},
		{"temporal_sticky_cache_hit", "Workflow tasks whose workflow was in the cache.", nil},
		{"temporal_sticky_cache_miss", "Workflow tasks whose workflow had to be replayed.", nil},
		{"temporal_sticky_cache_total_forced_eviction", "Workflows that had to leave the cache before their end.", nil},
	}
	sdkGauges = []sdkMetric{
		{"temporal_worker_task_slots_available", "Slots of this worker that are free.", []string{"task_queue", "worker_type"}},
		{"temporal_worker_task_slots_used", "Slots of this worker that are in use.", []string{"task_queue", "worker_type"}},
		{"temporal_num_pollers", "Polls that are open.", []string{"task_queue", "poller_type"}},
		{"temporal_sticky_cache_size", "Workflows in the cache.", nil},
		{"temporal_workflow_active_thread_count", "Goroutines of the workflows in the cache.", nil},
	}
	sdkTimers = []sdkMetric{
		{"temporal_request_latency", "Time of a call to Temporal's server.", []string{"operation"}},
		{"temporal_long_request_latency", "Time of a long poll of Temporal's server.", []string{"operation"}},
		{"temporal_workflow_endtoend_latency", "Time from a workflow's start to its end.", []string{"workflow_type"}},
		{"temporal_workflow_task_schedule_to_start_latency", "Time that a workflow task waited in its queue.", []string{"task_queue", "workflow_type"}},
		{"temporal_workflow_task_execution_latency", "Time to execute a workflow task.", []string{"workflow_type"}},
		{"temporal_workflow_task_replay_latency", "Time to replay a workflow.", []string{"workflow_type"}},
		{"temporal_activity_schedule_to_start_latency", "Time that an activity waited in its queue for a slot of a worker.", []string{"task_queue", "activity_type"}},
		{"temporal_activity_execution_latency", "Time of one try of an activity.", []string{"activity_type"}},
		{"temporal_activity_succeed_endtoend_latency", "Time from the first scheduling of an activity to its success.", []string{"activity_type"}},
	}
)

// timings are the buckets of what the SDK times: from a call to the waiting of a backfill in its queue.
var timings = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// sdkMetrics are the SDK's metrics by their names there.
type sdkMetrics struct {
	counters map[string]labelled[*prometheus.CounterVec]
	gauges   map[string]labelled[*prometheus.GaugeVec]
	timers   map[string]labelled[*prometheus.HistogramVec]
}

// A labelled metric knows which tags are its labels.
type labelled[T any] struct {
	vector T
	labels []string
}

// TemporalMetrics registers the metrics of Temporal's SDK, and returns what a client must be given to count them. It
// panics when they are registered already: a mistake in wiring.
func TemporalMetrics(reg prometheus.Registerer) client.MetricsHandler {
	m := &sdkMetrics{
		counters: map[string]labelled[*prometheus.CounterVec]{},
		gauges:   map[string]labelled[*prometheus.GaugeVec]{},
		timers:   map[string]labelled[*prometheus.HistogramVec]{},
	}
	for _, s := range sdkCounters {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.name + "_total", Help: s.help}, s.labels)
		reg.MustRegister(v)
		m.counters[s.name] = labelled[*prometheus.CounterVec]{v, s.labels}
	}
	for _, s := range sdkGauges {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.name, Help: s.help}, s.labels)
		reg.MustRegister(v)
		m.gauges[s.name] = labelled[*prometheus.GaugeVec]{v, s.labels}
	}
	for _, s := range sdkTimers {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: s.name + "_seconds", Help: s.help, Buckets: timings}, s.labels)
		reg.MustRegister(v)
		m.timers[s.name] = labelled[*prometheus.HistogramVec]{v, s.labels}
	}
	return tagged{metrics: m}
}

// tagged is a client.MetricsHandler with tags.
type tagged struct {
	metrics *sdkMetrics
	tags    map[string]string
}

// WithTags adds tags.
func (t tagged) WithTags(tags map[string]string) client.MetricsHandler {
	all := make(map[string]string, len(t.tags)+len(tags))
	maps.Copy(all, t.tags)
	maps.Copy(all, tags)
	return tagged{t.metrics, all}
}

// values are those of the labels; a tag that is missing is an empty label, which is none to Prometheus.
func (t tagged) values(labels []string) []string {
	values := make([]string, len(labels))
	for i, label := range labels {
		values[i] = t.tags[label]
	}
	return values
}

// Counter returns a counter; one that counts nothing when it is none of ours.
func (t tagged) Counter(name string) client.MetricsCounter {
	m, ok := t.metrics.counters[name]
	if !ok {
		return client.MetricsNopHandler.Counter(name)
	}
	return increment{m.vector.WithLabelValues(t.values(m.labels)...)}
}

// Gauge returns a gauge.
func (t tagged) Gauge(name string) client.MetricsGauge {
	m, ok := t.metrics.gauges[name]
	if !ok {
		return client.MetricsNopHandler.Gauge(name)
	}
	return level{m.vector.WithLabelValues(t.values(m.labels)...)}
}

// Timer returns a timer.
func (t tagged) Timer(name string) client.MetricsTimer {
	m, ok := t.metrics.timers[name]
	if !ok {
		return client.MetricsNopHandler.Timer(name)
	}
	return stopwatch{m.vector.WithLabelValues(t.values(m.labels)...)}
}

// The instruments as the SDK wants them.
type (
	increment struct{ counter prometheus.Counter }
	level     struct{ gauge prometheus.Gauge }
	stopwatch struct{ histogram prometheus.Observer }
)

// Inc counts.
func (i increment) Inc(n int64) { i.counter.Add(float64(max(0, n))) }

// Update sets.
func (l level) Update(v float64) { l.gauge.Set(v) }

// Record observes.
func (s stopwatch) Record(d time.Duration) { s.histogram.Observe(d.Seconds()) }
