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

// Metrics counts what a process does. Each process serves its own. Every label has few values, all of our own making: the
// only metrics with a series for each export are those of a FreshnessCollector, which bounds them.
type Metrics struct {
	runs         *prometheus.CounterVec
	failures     *prometheus.CounterVec
	rows         *prometheus.CounterVec
	bytes        *prometheus.CounterVec
	files        *prometheus.CounterVec
	lateRows     prometheus.Counter
	retries      *prometheus.CounterVec
	autoPauses   prometheus.Counter
	drift        prometheus.Histogram
	destinations *prometheus.HistogramVec
	sources      *prometheus.HistogramVec
	requests     *prometheus.HistogramVec
	droppedLogs  prometheus.Counter
	repairs      *prometheus.CounterVec
	housekeeping *prometheus.GaugeVec // without a value in a process that keeps no house
	notices      *prometheus.CounterVec
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

// Buckets of what is quick, like an answer, and of what may take hours, like the reading of a split.
var (
	quickly = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	slowly  = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 10800}
)

// NewMetrics registers the metrics with reg. It panics when they are registered already: a mistake in wiring.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		runs:       counters("tranche_runs_total", "Runs that ended, by final status.", "status", "destination", "model"),
		failures:   counters("tranche_run_failures_total", "Runs that failed, by error code and by who must act: customer, operator or nobody.", "code", "fault"),
		rows:       counters("tranche_rows_total", "Rows that were delivered.", "destination", "model"),
		bytes:      counters("tranche_bytes_total", "Bytes that were delivered.", "destination", "model"),
		files:      counters("tranche_files_total", "Files that were delivered.", "destination", "model"),
		lateRows:   counter("tranche_late_rows_total", "Rows that became visible in the source after their interval was staged for the last time."),
		retries:    counters("tranche_activity_retries_total", "Tries of activities that failed and are made again, by error code.", "code"),
		autoPauses: counter("tranche_auto_pauses_total", "Batch exports that were paused because too many of their newest runs failed."),
		drift: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tranche_schedule_drift_seconds", Help: "Time from the end of an interval to the beginning of its scheduled run, the jitter included.", Buckets: slowly,
		}),
		destinations: histograms("tranche_destination_duration_seconds",
			"Time of one try of a call to a destination: stage, commit, abort. Staging includes reading and encoding.", slowly, "destination", "operation", "outcome"),
		sources: histograms("tranche_source_duration_seconds",
			"Time that a source takes: plan, count, first_batch (from the opening of a split), read (a whole split, as fast as it is taken).", slowly, "source", "operation", "outcome"),
		requests: histograms("tranche_api_request_duration_seconds", "Time to answer a request of the API, by route.", quickly, "method", "route", "status"),
		droppedLogs: counter("tranche_run_log_dropped_total",
			"Lines of run logs that were lost: the queue was full or the database refused them."),
		repairs: counters("tranche_repairs_total", "What the reconciler mended, by kind: schedules, pauses, backfills, runs, due intervals.", "kind"),
		housekeeping: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tranche_housekeeping_success_timestamp_seconds", Help: "When this worker last finished a pass of repairing and cleaning without an error, or started.",
		}, nil),
	}
	m.notices = counters("tranche_notifications_total",
		"Tries to send a notification, by what it tells of and what became of the try: delivered, retried, given_up, or lost before it was written.", "event", "outcome")
	reg.MustRegister(m.runs, m.failures, m.rows, m.bytes, m.files, m.lateRows, m.retries, m.autoPauses, m.drift, m.destinations, m.sources,
		m.requests, m.droppedLogs, m.repairs, m.notices, m.housekeeping)
	m.begin()
	return m
}

// ExpectRepairs makes the series of the kinds of repairs, as begin does.
func (m *Metrics) ExpectRepairs(kinds ...string) {
	for _, kind := range kinds {
		m.repairs.WithLabelValues(kind)
	}
}

// ExpectNotifications makes the series of what may become of notifications, as begin does.
func (m *Metrics) ExpectNotifications(events []batch.Event, outcomes ...string) {
	for _, event := range events {
		for _, outcome := range outcomes {
			m.notices.WithLabelValues(string(event), outcome)
		}
	}
}

// begin makes the series that alert rules watch: of a counter that is first seen at 1, nobody sees the increase.
func (m *Metrics) begin() {
	for code, fault := range batch.Codes() {
		m.failures.WithLabelValues(string(code), fault.String())
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// RunEnded counts a run that reached a final status. The code is that of a run that failed.
func (m *Metrics) RunEnded(status batch.RunStatus, code batch.Code, destination string, model batch.Model) {
	m.runs.WithLabelValues(string(status), destination, string(model)).Inc()
	if status != batch.RunFailed {
		return
	}
	if !code.Known() {
		code = batch.CodeInternal
	}
	m.failures.WithLabelValues(string(code), code.Fault().String()).Inc()
}

// Delivered counts what a commit made visible.
func (m *Metrics) Delivered(destination string, model batch.Model, rows, bytes, files int64) {
	m.rows.WithLabelValues(destination, string(model)).Add(float64(rows))
	m.bytes.WithLabelValues(destination, string(model)).Add(float64(bytes))
	m.files.WithLabelValues(destination, string(model)).Add(float64(files))
}

// LateRows counts rows that a run saw too late to deliver.
func (m *Metrics) LateRows(n int64) { m.lateRows.Add(float64(n)) }

// ActivityRetried counts a try that failed and is made again.
func (m *Metrics) ActivityRetried(code batch.Code) { m.retries.WithLabelValues(string(code)).Inc() }

// AutoPaused counts an export that was paused because it fails too often.
func (m *Metrics) AutoPaused() { m.autoPauses.Inc() }

// ScheduledRunBegan records how long after the end of its interval a scheduled run began.
func (m *Metrics) ScheduledRunBegan(after time.Duration) { m.drift.Observe(max(0, after.Seconds())) }

// DestinationCalled records a call to a destination.
func (m *Metrics) DestinationCalled(destination, operation string, took time.Duration, err error) {
	m.destinations.WithLabelValues(destination, operation, outcomeOf(err)).Observe(took.Seconds())
}

// SourceCalled records what a source did.
func (m *Metrics) SourceCalled(source, operation string, took time.Duration, err error) {
	m.sources.WithLabelValues(source, operation, outcomeOf(err)).Observe(took.Seconds())
}

// outcomeOf is the outcome of a call as labels have it.
func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return "error"
}

// Repaired counts something that the reconciler mended.
func (m *Metrics) Repaired(kind string) { m.repairs.WithLabelValues(kind).Inc() }

// HouseKept records that a pass of housekeeping went well, or that a worker begins.
func (m *Metrics) HouseKept(at time.Time) {
	m.housekeeping.WithLabelValues().Set(float64(at.UnixMilli()) / 1000)
}

// Notified counts a try to send a notification.
func (m *Metrics) Notified(event batch.Event, outcome string) {
	m.notices.WithLabelValues(string(event), outcome).Inc()
}

// RequestServed records a request. Route is the template, never the path: its values must be few.
func (m *Metrics) RequestServed(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}
