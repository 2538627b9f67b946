package service

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
	"tranche/internal/telemetry"
)

// A recorder is a registry that remembers what was registered.
type recorder struct {
	*prometheus.Registry
	all []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.all = append(r.all, c)
	return r.Registry.Register(c)
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	r.all = append(r.all, all...)
	r.Registry.MustRegister(all...)
}

// described matches what a Desc tells of itself, which has no other way to tell it.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]+)", (?:unit: "[^"]*", )?constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// table is the page's table of some metrics.
func table(t *testing.T, all []prometheus.Collector) string {
	t.Helper()
	var rows []string
	for _, c := range all {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			parts := described.FindStringSubmatch(d.String())
			require.NotNil(t, parts, d.String())
			labels := ""
			if parts[3] != "" {
				labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
			}
			rows = append(rows, doctest.Row("`"+parts[1]+"`", kindOf(c), labels, parts[2]))
		}
	}
	slices.Sort(rows)
	return doctest.Table("metric", "type", "labels", "meaning") + strings.Join(rows, "")
}

func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.GaugeVec, prometheus.Gauge: // before Counter, which has fewer methods
		return "gauge"
	case prometheus.Counter:
		return "counter"
	}
	return "gauge" // a collector of ours
}

// The page lists what processes register; "make docs" writes it. That they serve no more and no less, a test of the
// whole stack sees.
func TestThePageOfMetricsIsCurrent(t *testing.T) {
	t.Parallel()
	const page = "docs/metrics.md"
	process, temporal := &recorder{Registry: prometheus.NewRegistry()}, &recorder{Registry: prometheus.NewRegistry()}
	telemetry.NewMetrics(process)
	TemporalMetrics(temporal)
	doctest.Generated(t, page, "process", table(t, process.all))
	doctest.Generated(t, page, "temporal", table(t, temporal.all))
	doctest.Generated(t, page, "api", table(t, apiCollectors(nil, nil, 0)))
	doctest.Generated(t, page, "worker", table(t, workerCollectors(nil)))
}

func TestTheSDKsMetricsKeepTheTagsThatHaveFewValues(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	handler := TemporalMetrics(registry).WithTags(map[string]string{"namespace": "default", "operation": "overwritten"})
	call := handler.WithTags(map[string]string{"operation": "StartWorkflowExecution", "task_queue": "a-queue"})
	call.Counter("temporal_request").Inc(2)
	call.Counter("temporal_request").Inc(-5) // a counter never falls
	call.Timer("temporal_request_latency").Record(30 * time.Millisecond)
	call.Gauge("temporal_worker_task_slots_used").Update(7)
	for _, unknown := range []string{"temporal_of_another_version", "temporal_nexus_poll_no_task"} {
		call.Counter(unknown).Inc(1)
		call.Gauge(unknown).Update(1)
		call.Timer(unknown).Record(time.Second)
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]string{}
	for _, f := range families {
		require.Len(t, f.GetMetric(), 1)
		var labels []string
		for _, pair := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName()+"="+pair.GetValue())
		}
		got[f.GetName()] = strings.Join(labels, ",")
	}
	require.Equal(t, map[string]string{
		"temporal_request_total":           "operation=StartWorkflowExecution",
		"temporal_request_latency_seconds": "operation=StartWorkflowExecution",
		"temporal_worker_task_slots_used":  "task_queue=a-queue,worker_type=",
	}, got)
	require.InDelta(t, 2, families[1].GetMetric()[0].GetCounter().GetValue(), 0)
}
