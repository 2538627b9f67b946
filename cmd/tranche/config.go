package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tranche/batch"
	"tranche/internal/service"
	"tranche/sources/models"
	"tranche/storage"
)

// A config is what the process reads at its start, once.
type config struct {
	DatabaseURL             string
	KeyRing                 storage.KeyRing
	KMSCommand              []string
	CursorKey               string
	TemporalAddress         string
	TemporalNamespace       string
	TemporalAPIKey          string
	TemporalTLS             temporalTLS
	TemporalCodecKeys       []storage.MasterKey
	TemporalUIURL           string
	SourceURL               string
	SourceTable             string
	ModelsFile              string
	Models                  models.File
	FileRoot                string
	AllowedNetworks         []netip.Prefix
	AWSIdentity             string
	AWSRole                 string
	Listen                  string
	MetricsListen           string
	TrustedProxies          []netip.Prefix
	RateLimit               int
	BackfillsPerTeam        int
	BackfillConcurrency     int
	MostBackfillConcurrency int
	Concurrency             batch.Concurrency
	Queues                  []string
	Deployment              string
	BuildID                 string
	Versioning              string
	WorkerSlots             int
	BackfillSlots           int
	MemoryMB                int
	SettleDelay             time.Duration
	SettleDelaySub          time.Duration
	CatchUp                 time.Duration
	EventLookback           time.Duration
	LateCheckAfter          time.Duration
	LogRetention            time.Duration
	Freshness               batch.Freshness
	AuditRetention          time.Duration
	TracesEndpoint          string
	TracesRatio             float64
	LogFormat               string
	LogLevel                string
}

// A setting is an environment variable, and a key of the settings file.
type setting struct {
	name     string
	fallback string
	meaning  string
	secret   bool
	parse    func(c *config, value string) error
}

// settings is everything that can be set. docs/configure.md lists them too, and a test compares.
var settings = []setting{
	{
		settingsFile, "", "YAML file with settings; the environment goes before it", false,
		func(*config, string) error { return nil },
	},
	{
		"TRANCHE_DATABASE_URL", "", "PostgreSQL of the service, as a URL", true,
		func(c *config, v string) error { c.DatabaseURL = v; return urlOf(v, "postgres", "postgresql") },
	},
	{
		"TRANCHE_MASTER_KEYS", "", "keys that seal destination settings: id:base64 of 32 bytes, comma separated; the first one seals, all open", true,
		func(c *config, v string) (err error) { c.KeyRing, err = storage.ParseKeyRing(v); return err },
	},
	{
		"TRANCHE_KMS_COMMAND", "", "program that opens master keys of the form id:kms:base64: it gets the id as its last argument and the wrapped key on standard input, and prints the key, in base64", false,
		func(c *config, v string) error { c.KMSCommand = strings.Fields(v); return notEmpty(v) },
	},
	{
		"TRANCHE_CURSOR_KEY", "", "secret that signs page cursors, the same for all API processes", true,
		func(c *config, v string) error { c.CursorKey = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_ADDRESS", "127.0.0.1:7233", "host:port of Temporal's frontend", false,
		func(c *config, v string) error { c.TemporalAddress = v; return hostPort(v) },
	},
	{
		"TRANCHE_TEMPORAL_NAMESPACE", "default", "Temporal namespace", false,
		func(c *config, v string) error { c.TemporalNamespace = v; return notEmpty(v) },
	},
	{
		"TRANCHE_TEMPORAL_API_KEY", "", "API key of Temporal Cloud; it implies TLS", true,
		func(c *config, v string) error { c.TemporalAPIKey = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_TLS", "auto", "on, off, or auto = on when an API key or one of the following settings asks for it", false,
		func(c *config, v string) error { c.TemporalTLS.mode = v; return oneOf(v, tlsAuto, tlsOn, tlsOff) },
	},
	{
		"TRANCHE_TEMPORAL_TLS_CA_FILE", "", "PEM file of the authorities that Temporal's certificate may come from; empty = the system's", false,
		func(c *config, v string) error { c.TemporalTLS.authorities = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_TLS_CERT_FILE", "", "PEM file of our certificate, for mTLS; read anew for each connection", false,
		func(c *config, v string) error { c.TemporalTLS.certificate = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_TLS_KEY_FILE", "", "PEM file of that certificate's key", false,
		func(c *config, v string) error { c.TemporalTLS.key = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_TLS_SERVER_NAME", "", "name that Temporal's certificate must have; empty = the host of the address", false,
		func(c *config, v string) error { c.TemporalTLS.serverName = v; return nil },
	},
	{
		"TRANCHE_TEMPORAL_CODEC_KEYS", "", "keys that seal what goes into workflow histories, in the form of TRANCHE_MASTER_KEYS; empty = it is not sealed; the same for all processes", true,
		func(c *config, v string) (err error) {
			c.TemporalCodecKeys, err = storage.ParseMasterKeys(v)
			return err
		},
	},
	{
		"TRANCHE_TEMPORAL_UI_URL", "", "base URL of Temporal's Web UI, for links in the API", false,
		func(c *config, v string) error {
			c.TemporalUIURL = strings.TrimSuffix(v, "/")
			return urlOf(v, "http", "https")
		},
	},
	{
		"TRANCHE_SOURCE_URL", "", "database with the events, as a clickhouse:// or postgres:// URL (worker; api, for previews of backfills)", true,
		func(c *config, v string) error { c.SourceURL = v; return sourceOf(v) },
	},
	{
		"TRANCHE_SOURCE_TABLE", "events", "table with the events, optionally with its schema", false,
		func(c *config, v string) error { c.SourceTable = v; return notEmpty(v) },
	},
	{
		"TRANCHE_MODELS_FILE", "", "YAML file with the tables and columns of models, and with models of your own; the same for api and worker", false,
		func(c *config, v string) error { c.ModelsFile = v; return nil },
	},
	{
		"TRANCHE_FILE_ROOT", "", "folder below which File destinations write; empty = the type is refused", false,
		func(c *config, v string) error { c.FileRoot = v; return nil },
	},
	{
		"TRANCHE_ALLOWED_NETWORKS", "", "networks of our own that destinations may be in, comma separated; empty = only the public internet", false,
		func(c *config, v string) (err error) { c.AllowedNetworks, err = prefixes(v); return err },
	},
	{
		"TRANCHE_AWS_IDENTITY", "none", "what our own identity in AWS serves for: none; roles = to assume those of customers; exports = also for exports without credentials", false,
		func(c *config, v string) error {
			c.AWSIdentity = v
			return oneOf(v, identityNone, identityRoles, identityExports)
		},
	},
	{
		"TRANCHE_AWS_ROLE_ARN", "", "role that is assumed before those of customers; empty = none", false,
		func(c *config, v string) error { c.AWSRole = v; return nil },
	},
	{
		"TRANCHE_LISTEN", "127.0.0.1:8000", "address of the API", false,
		func(c *config, v string) error { c.Listen = v; return hostPort(v) },
	},
	{
		"TRANCHE_METRICS_LISTEN", "127.0.0.1:9090", "address of the worker's health checks and metrics", false,
		func(c *config, v string) error { c.MetricsListen = v; return hostPort(v) },
	},
	{
		"TRANCHE_TRUSTED_PROXIES", "", "networks whose X-Forwarded headers are believed, comma separated", false,
		func(c *config, v string) (err error) { c.TrustedProxies, err = prefixes(v); return err },
	},
	{
		"TRANCHE_RATE_LIMIT", "480", "requests per minute that a key may make of one API process; 0 = any number", false,
		func(c *config, v string) error { return number(&c.RateLimit, v, 0, 1_000_000) },
	},
	{
		"TRANCHE_BACKFILLS_PER_TEAM", "5", "how many backfills of a team may run at once; retries are not counted", false,
		func(c *config, v string) error { return number(&c.BackfillsPerTeam, v, 1, 1000) },
	},
	{
		"TRANCHE_BACKFILL_CONCURRENCY", "1", "how many intervals of a backfill run at once unless it says otherwise", false,
		func(c *config, v string) error { return number(&c.BackfillConcurrency, v, 1, 100) },
	},
	{
		"TRANCHE_BACKFILL_CONCURRENCY_MAX", "20", "how many intervals of a backfill may run at once when it asks for it", false,
		func(c *config, v string) error { return number(&c.MostBackfillConcurrency, v, 1, 100) },
	},
	{
		"TRANCHE_RUNS_PER_EXPORT", "20", "how many runs of an export may work at once, on all workers; 0 = any number", false,
		func(c *config, v string) error { return number(&c.Concurrency.PerExport, v, 0, 10_000) },
	},
	{
		"TRANCHE_RUNS_PER_TEAM", "50", "the same for the exports of a project", false,
		func(c *config, v string) error { return number(&c.Concurrency.PerTeam, v, 0, 10_000) },
	},
	{
		"TRANCHE_RUNS_PER_HOST", "50", "the same for all exports that deliver to a host; backfills leave the last place to schedules", false,
		func(c *config, v string) error { return number(&c.Concurrency.PerHost, v, 0, 10_000) },
	},
	{
		"TRANCHE_TASK_QUEUES", "exports,backfills,notifications", "what a worker serves: exports = scheduled runs, backfills, notifications, or several of them", false,
		func(c *config, v string) (err error) { c.Queues, err = taskQueues(v); return err },
	},
	{
		"TRANCHE_BUILD_ID", "", "version of this worker for Temporal's worker versioning; empty = workers are not told apart", false,
		func(c *config, v string) error { c.BuildID = v; return notEmpty(v) },
	},
	{
		"TRANCHE_DEPLOYMENT", "tranche", "name that all versions of the workers share in Temporal", false,
		func(c *config, v string) error { c.Deployment = v; return notEmpty(v) },
	},
	{
		"TRANCHE_VERSIONING", "auto-upgrade", "auto-upgrade = runs move to the current version; pinned = they end on the version that began them", false,
		func(c *config, v string) error { c.Versioning = v; return oneOf(v, autoUpgrade, pinned) },
	},
	{
		"TRANCHE_WORKER_SLOTS", "20", "how many activities a worker runs at once for scheduled runs", false,
		func(c *config, v string) error { return number(&c.WorkerSlots, v, 1, 1000) },
	},
	{
		"TRANCHE_BACKFILL_SLOTS", "10", "how many activities a worker runs at once for backfills", false,
		func(c *config, v string) error { return number(&c.BackfillSlots, v, 1, 1000) },
	},
	{
		"TRANCHE_MEMORY_MB", "512", "how many MiB the splits that a worker stages at once may hold; further ones wait", false,
		func(c *config, v string) error { return number(&c.MemoryMB, v, 16, 1<<20) },
	},
	{
		"TRANCHE_SETTLE_DELAY", "60s", "how long a run waits after its interval for late rows", false,
		func(c *config, v string) error { return duration(&c.SettleDelay, v, 0) },
	},
	{
		"TRANCHE_SETTLE_DELAY_SUB_HOURLY", "30s", "the same for intervals below an hour", false,
		func(c *config, v string) error { return duration(&c.SettleDelaySub, v, 0) },
	},
	{
		"TRANCHE_EVENT_LOOKBACK", "0", "leaves out rows that happened longer before their interval, or more than a day after it; 0 = every row is exported, however late; for api and worker alike", false,
		func(c *config, v string) error { return duration(&c.EventLookback, v, 0) },
	},
	{
		"TRANCHE_LATE_CHECK_AFTER", "1h", "how long after a delivery its interval is counted once more, for rows that came late; 0 = never", false,
		func(c *config, v string) error { return duration(&c.LateCheckAfter, v, 0) },
	},
	{
		"TRANCHE_CATCHUP_WINDOW", "720h", "how long an interval may be overdue and is still started; for api and worker alike", false,
		func(c *config, v string) error { return duration(&c.CatchUp, v, time.Minute) },
	},
	{
		"TRANCHE_LOG_RETENTION", "720h", "how long the log lines of runs are kept", false,
		func(c *config, v string) error { return duration(&c.LogRetention, v, time.Hour) },
	},
	{
		"TRANCHE_FRESHNESS", "1.5", "how many intervals old the newest delivered rows of an export may become before metrics call it late; ten minutes more than one at least", false,
		func(c *config, v string) error { return freshness(&c.Freshness, v) },
	},
	{
		"TRANCHE_AUDIT_RETENTION", "0", "how long the audit log is kept; 0 = for ever", false,
		func(c *config, v string) error { return duration(&c.AuditRetention, v, 0) },
	},
	{
		"TRANCHE_TRACES_ENDPOINT", "", "receiver of traces, OTLP over HTTP, such as http://collector:4318; without it OTEL_EXPORTER_OTLP_ENDPOINT; empty = no traces", false,
		func(c *config, v string) error { c.TracesEndpoint = v; return urlOf(v, "http", "https") },
	},
	{
		"TRANCHE_TRACES_RATIO", "1", "part of the traces that is kept, from 0 to 1", false,
		func(c *config, v string) error { return ratio(&c.TracesRatio, v) },
	},
	{
		"TRANCHE_LOG_FORMAT", "json", "json or text", false,
		func(c *config, v string) error { c.LogFormat = v; return oneOf(v, "json", "text") },
	},
	{
		"TRANCHE_LOG_LEVEL", "info", "debug, info, warn or error", false,
		func(c *config, v string) error { c.LogLevel = v; return oneOf(v, "debug", "info", "warn", "error") },
	},
}

// readConfig reads all settings and reports all problems at once. The required ones differ by command.
func readConfig(getenv func(string) string, required ...string) (config, error) {
	var c config
	values, problems := valuesOf(getenv)
	for _, s := range settings {
		v := values[s.name]
		if v.text == "" {
			continue
		}
		if err := s.parse(&c, v.text); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	var err error
	if c.Models, err = service.ReadModels(c.SourceTable, c.ModelsFile); err != nil {
		for line := range strings.Lines(err.Error()) {
			problems = append(problems, fmt.Errorf("TRANCHE_MODELS_FILE: %s", strings.TrimSpace(line)))
		}
	}
	for _, name := range required {
		if values[name].text == "" && !values[name].broken {
			problems = append(problems, fmt.Errorf("%s: must be set", name))
		}
	}
	if len(problems) == 0 {
		problems = c.contradictions()
	}
	return c, errors.Join(problems...)
}

// contradictions are settings that are right each by itself and wrong together.
func (c config) contradictions() (problems []error) {
	if c.BackfillConcurrency > c.MostBackfillConcurrency {
		problems = append(problems, fmt.Errorf("TRANCHE_BACKFILL_CONCURRENCY: must not be above TRANCHE_BACKFILL_CONCURRENCY_MAX (%d)",
			c.MostBackfillConcurrency))
	}
	if c.KeyRing.Wrapped() && c.kms() == nil {
		problems = append(problems, errors.New("TRANCHE_KMS_COMMAND: must be set, since a master key is wrapped"))
	}
	return append(problems, c.temporalContradictions()...)
}
