package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tranche/batch"
)

// Metrics counts what a process does. Each process serves its own.
type Metrics struct {
	runs        *prometheus.CounterVec
	rows        *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	lateRows    prometheus.Counter
	retries     *prometheus.CounterVec
	requests    *prometheus.HistogramVec
	droppedLogs prometheus.Counter
	repairs     *prometheus.CounterVec
	notices     *prometheus.CounterVec
}

// NewRegistry returns a registry with the metrics of the Go runtime and of the process.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Handler serves what reg gathers. A collector that does not answer does not hide the others.
func Handler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Registry:            reg,
	})
}

// maxScrapes is how many scrapes may run at once.
const maxScrapes = 4

// NewMetrics registers the metrics with reg. It panics when they are registered already: a mistake in wiring.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tranche_runs_total", Help: "Runs that ended, by final status.",
		}, []string{"status", "destination", "model"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tranche_rows_total", Help: "Rows that were delivered.",
		}, []string{"destination", "model"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tranche_bytes_total", Help: "Bytes that were delivered.",
		}, []string{"destination", "model"}),
		lateRows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tranche_late_rows_total", Help: "Rows that became visible in the source after their interval was staged for the last time.",
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tranche_activity_retries_total", Help: "Tries of activities that failed and are made again, by error code.",
		}, []string{"code"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tranche_api_request_duration_seconds", Help: "Time to answer a request of the API, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
		droppedLogs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tranche_run_log_dropped_total", Help: "Lines of run logs that were lost: the queue was full or the database refused them.",
		}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tranche_repairs_total", Help: "What the reconciler mended, by kind: schedules, pauses, backfills, runs, due intervals.",
		}, []string{"kind"}),
	}
	m.notices = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tranche_notifications_total",
		Help: "Tries to send a notification, by what it tells of and what became of the try: delivered, retried, given_up, or lost before it was written.",
	}, []string{"event", "outcome"})
	reg.MustRegister(m.notices, m.runs, m.rows, m.bytes, m.lateRows, m.retries, m.requests, m.droppedLogs, m.repairs)
	return m
}

// RunEnded counts a run that reached a final status.
func (m *Metrics) RunEnded(status batch.RunStatus, destination string, model batch.Model) {
	m.runs.WithLabelValues(string(status), destination, string(model)).Inc()
}

// Delivered counts what a commit made visible.
func (m *Metrics) Delivered(destination string, model batch.Model, rows, bytes int64) {
	m.rows.WithLabelValues(destination, string(model)).Add(float64(rows))
	m.bytes.WithLabelValues(destination, string(model)).Add(float64(bytes))
}

// LateRows counts rows that a run saw too late to deliver.
func (m *Metrics) LateRows(n int64) { m.lateRows.Add(float64(n)) }

// ActivityRetried counts a try that failed and is made again.
func (m *Metrics) ActivityRetried(code batch.Code) { m.retries.WithLabelValues(string(code)).Inc() }

// Repaired counts something that the reconciler mended.
func (m *Metrics) Repaired(kind string) { m.repairs.WithLabelValues(kind).Inc() }

// Notified counts a try to send a notification.
func (m *Metrics) Notified(event batch.Event, outcome string) {
	m.notices.WithLabelValues(string(event), outcome).Inc()
}

// RequestServed records a request. Route is the template, never the path: its values must be few.
func (m *Metrics) RequestServed(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}
