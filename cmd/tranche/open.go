package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"tranche/internal/safenet"
	"tranche/internal/service"
	"tranche/internal/telemetry"
	"tranche/storage"
	"tranche/workflows"
)

// A process is what api and worker have in common, open.
type process struct {
	service.Parts
	config config
}

// openTimeout bounds the start of a process.
const openTimeout = 30 * time.Second

// open connects to the database and to Temporal for a process of that name. It refuses a database whose migrations are not those of this binary.
func open(ctx context.Context, c config, name string) (_ *process, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	log, err := telemetry.NewLogger(c.LogFormat == "json", c.LogLevel)
	if err != nil {
		return nil, err
	}
	known, err := plugins(ctx, c)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	status, err := db.MigrationStatus(ctx)
	if err != nil {
		return nil, err
	}
	if !status.Current() {
		return nil, fmt.Errorf("the database is at migration %d and this binary needs %d: run \"tranche migrate up\"", status.Database, status.Binary)
	}
	if err := db.CheckKeys(ctx); err != nil {
		return nil, err
	}
	installation, err := db.Installation(ctx)
	if err != nil {
		return nil, err
	}
	tracing, err := telemetry.NewTracing(ctx, telemetry.TraceOptions{
		Endpoint: c.TracesEndpoint, Ratio: c.TracesRatio, Process: name, Version: version, Log: log,
	})
	if err != nil {
		return nil, err
	}
	options, err := c.temporalOptions(log)
	if err != nil {
		return nil, err
	}
	registry := telemetry.NewRegistry()
	options.MetricsHandler, options.Interceptors = service.TemporalMetrics(registry), service.TraceInterceptors(tracing)
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", c.TemporalAddress, err)
	}
	if err := workflows.EnsureSearchAttributes(ctx, temporal, c.TemporalNamespace); err != nil {
		log.Warn("The search attributes of the namespace could not be checked; register them with the temporal command line.", zap.Error(err))
	}
	metrics := telemetry.NewMetrics(registry)
	return &process{config: c, Parts: service.Parts{
		DB: db, Temporal: temporal, Plugins: known, Models: c.Models.Catalog, Metrics: metrics,
		RunLog: telemetry.NewRunLog(db, metrics, log), Log: log, CatchUp: c.CatchUp, Lookback: c.EventLookback, Converter: options.DataConverter,
		Namespace: c.TemporalNamespace, Installation: installation, Registry: registry, Tracing: tracing, Guard: safenet.Guard{Allow: c.AllowedNetworks},
	}}, nil
}

func openDatabase(ctx context.Context, c config) (*storage.DB, error) {
	keys, err := c.KeyRing.Open(ctx, c.kms())
	if err != nil {
		return nil, fmt.Errorf("TRANCHE_MASTER_KEYS: %w", err)
	}
	sealer, err := storage.NewSealer(keys...)
	if err != nil {
		return nil, fmt.Errorf("TRANCHE_MASTER_KEYS: %w", err)
	}
	db, err := storage.Open(ctx, c.DatabaseURL, sealer)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// closeTimeout bounds the writing of what is still in memory.
const closeTimeout = 5 * time.Second

// close writes what is still in memory and closes the connections.
func (p *process) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := p.RunLog.Close(ctx)
	p.Temporal.Close()
	return errors.Join(err, p.Tracing.Stop(ctx), p.DB.Close())
}
