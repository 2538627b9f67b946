package service

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"tranche/internal/app"
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

// expect makes the series of what a worker may come to count.
func (p Parts) expect() {
	for _, kind := range app.RepairKinds {
		p.Metrics.ExpectRepairs(string(kind))
	}
}
