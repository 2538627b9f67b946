// Package stack runs all of Tranche in one process: Temporal with its Web UI, the metadata in SQLite, the events in
// DuckDB, a worker and the API. Its state lives in one data directory and survives a kill at any moment.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/postgres"
	"tranche/destinations/s3"
	"tranche/dev/duckdb"
	"tranche/dev/temporal"
	"tranche/internal/auth"
	"tranche/internal/safenet"
	"tranche/internal/service"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/sources"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/workflows"
)

// Options say how the stack runs.
type Options struct {
	DataDir string
	// Listen is the address of the API, UIListen that of Temporal's Web UI; port 0 = any that is free.
	Listen, UIListen string
	// APIKey is the key of organization 1, project 1, user 1; empty = a new one.
	APIKey string
	// Load are files with events, loaded before the stack is ready; LoadModels are files with rows of other models.
	Load       []string
	LoadModels []ModelFile
	// ModelsFile says in which tables and columns models are, and declares others; empty = PostHog's.
	ModelsFile string
	Log        *zap.Logger

	// Plugins makes the kinds of destinations, given the folder for exported files; nil = all that the service has, with
	// hosts on this machine allowed, and without TLS where a database has none.
	Plugins func(root string) []destinations.Plugin
	// SourceURL is a database with the events, which runs read in place of the loaded ones; SourceTable is its table.
	SourceURL, SourceTable string
	// Source is what runs read, given the store of the loaded events; nil = that store.
	Source func(events *duckdb.Store) sources.Source
	// Limits are the times of the protocol; nil = activities.Embedded().
	Limits *activities.Limits
	// Concurrency limits how many runs work at once; zero = any number: on a laptop the slots are limit enough.
	Concurrency batch.Concurrency
	// Housekeeping says when to repair and sweep; zero = DefaultHousekeeping.
	Housekeeping Housekeeping
	// Tracing makes traces; nil = none. It is not stopped by Stop.
	Tracing *telemetry.Tracing
	// CatchUp is how long an outage may last without intervals being lost; zero = workflows.DefaultCatchUp.
	CatchUp time.Duration
}

// A ModelFile is a file with rows of a model.
type ModelFile struct {
	Model batch.Model
	File  string
}

// Housekeeping says how often the stack repairs what came apart and sweeps, and how long it leaves new things alone.
type Housekeeping struct {
	Every, Grace time.Duration
}

// DefaultHousekeeping mends within seconds.
func DefaultHousekeeping() Housekeeping {
	return Housekeeping{Every: 5 * time.Second, Grace: 5 * time.Second}
}

func (o Options) plugins(root string) []destinations.Plugin {
	if o.Plugins == nil {
		// On a laptop, stores and databases run on the machine itself.
		guard := safenet.Guard{Allow: safenet.Loopback()}
		return append(s3.Plugins(s3.Server{Guard: guard}),
			file.Plugin(file.Server{Root: root}),
			postgres.Plugin(postgres.Server{Guard: guard, Plaintext: true}))
	}
	return o.Plugins(root)
}

func (o Options) limits() activities.Limits {
	if o.Limits == nil {
		return activities.Embedded()
	}
	return *o.Limits
}

func (o Options) housekeeping() Housekeeping {
	if o.Housekeeping == (Housekeeping{}) {
		return DefaultHousekeeping()
	}
	return o.Housekeeping
}

// The embedded stack's figures.
const (
	backfillsPerTeam        = 5
	backfillConcurrency     = 4
	mostBackfillConcurrency = 20
	slots                   = 4
	logRetention            = 30 * 24 * time.Hour
	recountAfter            = time.Hour
	closeTimeout            = 3 * time.Second
	shutdownTimeout         = 2 * time.Second
)

// organization, project and user of the embedded stack's key.
const theOne = 1

// A Stack is everything, running.
type Stack struct {
	Key    string
	Loaded duckdb.Loaded

	options  Options
	dir      *dataDir
	listener net.Listener
	temporal *temporal.Server
	client   client.Client
	db       *storage.DB
	models   query.Catalog
	source   sources.Source
	registry *prometheus.Registry
	runLog   *telemetry.RunLog
	worker   *service.Worker
	server   *http.Server
	served   chan error
}

// Start starts the stack and returns when it is ready. What was started is stopped again when it fails.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{options: o, registry: telemetry.NewRegistry(), served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if s.Key, err = keyOf(o); err != nil {
		return nil, err
	}
	if s.dir, err = openDataDir(o.DataDir); err != nil {
		return nil, err
	}
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", o.Listen, err)
	}
	if err := s.openStores(ctx); err != nil {
		return nil, err
	}
	if err := s.openTemporal(ctx); err != nil {
		return nil, err
	}
	if err := s.serve(); err != nil {
		return nil, err
	}
	return s, nil
}

// openStores opens the metadata and the events, and loads the files: bad input ends the start before anything runs.
func (s *Stack) openStores(ctx context.Context) (err error) {
	sealer, err := storage.NewSealer(s.dir.masterKey)
	if err != nil {
		return err
	}
	if s.db, err = sqlite.Open(ctx, filepath.Join(s.dir.path, "tranche.db"), sealer); err != nil {
		return fmt.Errorf("open metadata: %w", err)
	}
	if err := s.db.Migrate(ctx); err != nil {
		return err
	}
	if err := s.ensureKey(ctx); err != nil {
		return err
	}
	return s.openSource(ctx)
}

// openSource opens what runs read.
func (s *Stack) openSource(ctx context.Context) (err error) {
	file, err := service.ReadModels(s.options.SourceTable, s.options.ModelsFile)
	if err != nil {
		return fmt.Errorf("%s:\n%w", s.options.ModelsFile, err)
	}
	s.models = file.Catalog
	if s.options.SourceURL != "" {
		if s.source, err = service.OpenSource(s.options.SourceURL, s.models); err != nil {
			return err
		}
		return service.CheckModels(ctx, s.source, file, s.options.Log)
	}
	events, err := duckdb.Open(ctx, filepath.Join(s.dir.path, "events.duckdb"), duckdb.Options{Models: s.models})
	if err != nil {
		return fmt.Errorf("open events: %w", err)
	}
	if s.source = events; s.options.Source != nil {
		s.source = s.options.Source(events)
	}
	if s.Loaded, err = events.Load(ctx, s.options.Load...); err != nil {
		return err
	}
	for _, l := range s.options.LoadModels {
		if _, err := events.LoadModel(ctx, l.Model, l.File); err != nil {
			return err
		}
	}
	return nil
}

// keyOf is the key that the options ask for: a bad one ends the start before anything is made.
func keyOf(o Options) (string, error) {
	if o.APIKey == "" {
		return auth.NewSecret(), nil
	}
	return o.APIKey, auth.CheckSecret(o.APIKey)
}

func (s *Stack) ensureKey(ctx context.Context) error {
	if err := s.db.EnsureProject(ctx, theOne, theOne, theOne); err != nil {
		return err
	}
	return s.db.CreateKey(ctx, auth.Key{
		ID: uuid.Must(uuid.NewV7()), Label: "embedded", Prefix: auth.Prefix(s.Key), Hash: auth.Hash(s.Key),
		OrganizationID: theOne, UserID: theOne, Scopes: []auth.Scope{auth.ScopeAll}, CreatedAt: time.Now().UTC(),
	})
}

func (s *Stack) openTemporal(ctx context.Context) (err error) {
	s.temporal, err = temporal.Start(ctx, temporal.Options{
		Dir: filepath.Join(s.dir.path, "temporal"), UIListen: s.options.UIListen,
		SearchAttributes: workflows.SearchAttributes(), Logger: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.client, err = client.DialContext(ctx, client.Options{
		HostPort: s.temporal.HostPort(), Logger: telemetry.NewTemporalLogger(s.options.Log),
		MetricsHandler: service.TemporalMetrics(s.registry), Interceptors: service.TraceInterceptors(s.options.Tracing),
	})
	return err
}

// serve starts the worker and the API.
func (s *Stack) serve() (err error) {
	installation, err := s.db.Installation(context.Background())
	if err != nil {
		return err
	}
	metrics := telemetry.NewMetrics(s.registry)
	s.runLog = telemetry.NewRunLog(s.db, metrics, s.options.Log)
	parts := service.Parts{
		DB: s.db, Temporal: s.client, Metrics: metrics, RunLog: s.runLog, Log: s.options.Log, Models: s.models,
		Plugins: destinations.NewRegistry(s.options.plugins(s.ExportsDir())...), Source: s.source, CatchUp: s.options.CatchUp, Installation: installation, Registry: s.registry, Tracing: s.options.Tracing,
		Guard: safenet.Guard{Allow: safenet.Loopback()}, // receivers of notifications may run on the machine itself
	}
	house := s.options.housekeeping()
	s.worker, err = parts.StartWorker(service.WorkerOptions{
		Source: s.source, Limits: s.options.limits(), Slots: slots, BackfillSlots: slots, Concurrency: s.options.Concurrency,
		HousekeepEvery: house.Every, Grace: house.Grace, LogRetention: logRetention, RecountAfter: recountAfter,
	})
	if err != nil {
		return err
	}
	server, err := parts.API(service.APIOptions{
		Quotas: service.Quotas{
			Backfills: backfillsPerTeam, BackfillConcurrency: backfillConcurrency, MostBackfillConcurrency: mostBackfillConcurrency,
		},
		CursorSecret: s.dir.secret,
		TemporalUI:   api.TemporalUI{Base: s.UIURL(), Namespace: client.DefaultNamespace},
	})
	if err != nil {
		return err
	}
	s.server = api.NewHTTPServer(server.Handler())
	go func() { s.served <- s.server.Serve(s.listener) }()
	return nil
}

// URL is the API's base URL.
func (s *Stack) URL() string { return "http://" + s.listener.Addr().String() }

// UIURL is the base URL of Temporal's Web UI.
func (s *Stack) UIURL() string { return s.temporal.UIURL() }

// ExportsDir is where File destinations write.
func (s *Stack) ExportsDir() string { return filepath.Join(s.dir.path, "exports") }

// Temporal is a client of the stack's Temporal server; it is closed by Stop.
func (s *Stack) Temporal() client.Client { return s.client }

// DB is the stack's database; it is closed by Stop.
func (s *Stack) DB() *storage.DB { return s.db }

// Failed returns a channel that receives when the API stops by itself.
func (s *Stack) Failed() <-chan error { return s.served }

// Stop stops everything in the reverse order, within ten seconds. Work under way goes on at the next start.
func (s *Stack) Stop() error {
	var failures []error
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	switch {
	case s.server != nil:
		failures = append(failures, s.server.Shutdown(ctx))
	case s.listener != nil:
		failures = append(failures, s.listener.Close())
	}
	if s.worker != nil {
		s.worker.Stop()
	}
	if s.runLog != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		failures = append(failures, s.runLog.Close(ctx))
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.temporal != nil {
		failures = append(failures, s.temporal.Stop())
	}
	if s.source != nil {
		failures = append(failures, s.source.Close())
	}
	if s.db != nil {
		failures = append(failures, s.db.Close())
	}
	if s.dir != nil {
		failures = append(failures, s.dir.close())
	}
	return errors.Join(failures...)
}
