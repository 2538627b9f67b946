package service

import (
	"cmp"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tranche/activities"
	"tranche/batch"
	"tranche/internal/app"
	"tranche/internal/telemetry"
)

// register adds collectors to the registry, if there is one.
func (p Parts) register(all ...prometheus.Collector) error {
	if p.Registry == nil {
		return nil
	}
	var failures []error
	for _, c := range all {
		failures = append(failures, p.Registry.Register(c))
	}
	return errors.Join(failures...)
}

// apiCollectors tell of all exports and all queues.
func apiCollectors(exports telemetry.FreshnessStore, queues telemetry.QueueStore, objective batch.Freshness) []prometheus.Collector {
	return []prometheus.Collector{
		telemetry.NewFreshnessCollector(exports, cmp.Or(objective, batch.DefaultFreshness), time.Now),
		telemetry.NewQueueCollector(queues, time.Now),
	}
}

// workerCollectors tell of one worker.
func workerCollectors(memory *activities.Memory) []prometheus.Collector {
	return []prometheus.Collector{telemetry.NewBudgetCollector(func() telemetry.Budget {
		limit, used, waiting := memory.Usage()
		return telemetry.Budget{Limit: limit, Used: used, Waiting: waiting}
	})}
}

// expect makes the series of what a worker may come to count.
func (p Parts) expect() {
	for _, kind := range app.RepairKinds {
		p.Metrics.ExpectRepairs(string(kind))
	}
	p.Metrics.ExpectNotifications(batch.Events, activities.OutcomeDelivered, activities.OutcomeRetried, activities.OutcomeGivenUp, activities.OutcomeLost)
}
