package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/destinationtest/memory"
	"tranche/internal/service"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/sources/postgres"
	"tranche/storage"
)

// A workerConfig is what a worker's process is told through its environment.
type workerConfig struct {
	Name     string `json:"name"`
	Database string `json:"database"`
	Key      string `json:"key"`
	Temporal string `json:"temporal"`
	Control  string `json:"control"` // base URL of the harness
	Broken   string `json:"broken"`  // a part of the protocol that is left out, to see that it is missed
}

// workerVariable holds a workerConfig in the environment of a worker's process.
const workerVariable = "TRANCHE_MODEL_WORKER"

// limits of the model: short, so that a killed worker costs seconds.
func limits() activities.Limits {
	return activities.Limits{Heartbeat: 2 * time.Second, Short: 4 * time.Second, Parallel: 2}
}

// How the model's workers keep house.
const (
	housekeepEvery = time.Second
	housekeepGrace = 2 * time.Second
	logRetention   = time.Hour
)

// runWorker is a worker's process: the service's own worker, with probes at the protocol's points.
func runWorker(text string) error {
	var c workerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := telemetry.NewLogger(false, "fatal")
	if err != nil {
		return err
	}
	db, err := openDB(ctx, c.Database, c.Key)
	if err != nil {
		return err
	}
	temporal, err := dial(ctx, c.Temporal, log)
	if err != nil {
		return err
	}
	source, err := postgres.New(postgres.Options{DSN: c.Database, Models: query.PostHog(), SplitRows: 2})
	if err != nil {
		return err
	}
	registry := telemetry.NewRegistry()
	metrics := telemetry.NewMetrics(registry)
	probe := &probe{config: c}
	parts := service.Parts{
		DB: db, Temporal: temporal, Metrics: metrics, RunLog: telemetry.NewRunLog(db, metrics, log), Log: log, Registry: registry,
		Models:  query.PostHog(),
		Plugins: destinations.NewRegistry(memory.Plugin(memory.Client{URL: c.Control + "/op", Worker: c.Name})),
	}
	worker, err := parts.StartWorker(service.WorkerOptions{
		Source: source, Limits: limits(), Slots: 4, BackfillSlots: 4,
		HousekeepEvery: housekeepEvery, Grace: housekeepGrace, LogRetention: logRetention,
		Adjust: func(a *activities.Activities) {
			a.Store = &probedStore{Store: without(c.Broken, a.Store), probe: probe}
		},
		Interceptors: []interceptor.WorkerInterceptor{&probedWorker{probe: probe}},
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	worker.Stop()
	return errors.Join(parts.RunLog.Close(context.Background()), db.Close())
}

// dial connects to Temporal, however long that is away.
func dial(ctx context.Context, address string, log *zap.Logger) (client.Client, error) {
	for {
		c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: telemetry.NewTemporalLogger(log)})
		if err == nil || ctx.Err() != nil {
			return c, err
		}
	}
}

// openDB opens the service's database.
func openDB(ctx context.Context, dsn, key string) (*storage.DB, error) {
	keys, err := storage.ParseMasterKeys(key)
	if err != nil {
		return nil, err
	}
	sealer, err := storage.NewSealer(keys...)
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, dsn, sealer)
}

// A probe asks the harness what is to happen at a point.
type probe struct {
	config workerConfig
}

// point returns the error that the step must answer.
func (p *probe) point(ctx context.Context, point string) error {
	body, err := json.Marshal(visit{Worker: p.config.Name, Point: point})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.Control+"/point", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return batch.Errorf(batch.CodeUnavailable, err, "the harness does not answer")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return batch.Errorf(batch.CodeUnavailable, errFault, "a fault of the model at %q", point)
	}
	return nil
}

// A visit is a worker's coming to a point.
type visit struct {
	Worker string `json:"worker"`
	Point  string `json:"point"`
}

// A probedStore has probes around what the protocol does in the database.
type probedStore struct {
	activities.Store
	probe *probe
}

// SaveReceipt has the point between staging and its receipt.
func (s *probedStore) SaveReceipt(ctx context.Context, runID uuid.UUID, generation, attempt int, r destinations.Receipt) error {
	if err := s.probe.point(ctx, "before receipt"); err != nil {
		return err
	}
	if err := s.Store.SaveReceipt(ctx, runID, generation, attempt, r); err != nil {
		return err
	}
	return s.probe.point(ctx, "after receipt")
}

// AcquireLease has the points around the lease.
func (s *probedStore) AcquireLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, runID uuid.UUID, ttl time.Duration) (int64, error) {
	if err := s.probe.point(ctx, "before lease"); err != nil {
		return 0, err
	}
	token, err := s.Store.AcquireLease(ctx, exportID, i, runID, ttl)
	if err != nil {
		return token, err
	}
	return token, s.probe.point(ctx, "after lease")
}

// Fence has the point after the fence.
func (s *probedStore) Fence(
	ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, keepRun uuid.UUID, keepGeneration int,
) ([]destinations.Journaled, error) {
	others, err := s.Store.Fence(ctx, exportID, i, token, keepRun, keepGeneration)
	if err != nil {
		return nil, err
	}
	return others, s.probe.point(ctx, "after fence")
}

// RecordDelivery has the points around recording what is published.
func (s *probedStore) RecordDelivery(ctx context.Context, d batch.Delivery) error {
	if err := s.probe.point(ctx, "before record"); err != nil {
		return err
	}
	if err := s.Store.RecordDelivery(ctx, d); err != nil {
		return err
	}
	return s.probe.point(ctx, "after record")
}

// A probedWorker has probes around every activity.
type probedWorker struct {
	interceptor.WorkerInterceptorBase
	probe *probe
}

// InterceptActivity wraps an activity.
func (w *probedWorker) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &probedActivity{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, probe: w.probe}
}

type probedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	probe *probe
}

// ExecuteActivity has the points before and after an activity.
func (a *probedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	name := activity.GetInfo(ctx).ActivityType.Name
	if err := a.probe.point(ctx, "before "+name); err != nil {
		return nil, err
	}
	result, err := a.Next.ExecuteActivity(ctx, in)
	if err != nil {
		return result, err
	}
	return result, a.probe.point(ctx, "after "+name)
}

// serveWorker runs this process as a worker when it is told to be one.
func serveWorker() {
	text, ok := os.LookupEnv(workerVariable)
	if !ok {
		return
	}
	if err := runWorker(text); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
