// Package duckdb keeps events in a DuckDB file inside the process: it loads them from files and is a source of exports.
// It is what the dev binary has in place of a ClickHouse or PostgreSQL server.
package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
	"tranche/dev/duckdb/engine"
	"tranche/dev/lockfile"
	"tranche/query"
)

// Options limit what the store takes.
type Options struct {
	// MemoryLimit bounds DuckDB's own memory, as DuckDB writes it ("512MB"); "" = 1GB. What does not fit goes into a
	// folder beside the file.
	MemoryLimit string
	// Threads that a query may use; 0 = all processors.
	Threads int
	// SplitRows is the number of rows below which it is not worth to cut a split off; 0 = 50,000.
	SplitRows int64
	// Models that the store has tables for; nil = PostHog's. Each is in the table of its name, in columns of the names of its
	// fields: where an operator's tables are makes no difference here.
	Models query.Catalog
	// Allocator of the record batches; nil = Go's memory.
	Allocator memory.Allocator
}

const (
	defaultMemoryLimit = "1GB"
	defaultSplitRows   = 50_000
)

// A Store is an open file of events. It is a sources.Source, safe for use by several goroutines; loading and reading may
// go on at once.
type Store struct {
	lock      *lockfile.Lock
	database  *engine.Database
	models    query.Catalog
	path      string
	splitRows int64
	allocator memory.Allocator

	// loading holds one token: one load at a time.
	loading chan struct{}
}

// An InUseError says that another process has the store open, or this one in another Store.
type InUseError struct {
	Path string
}

// Error names the file.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the event store %s is in use by another process", e.Path)
}

// createEvents has PostHog's columns. Timestamps are UTC; the columns that hold JSON are text, so that they are given out
// byte for byte as they came in.
const createEvents = `CREATE TABLE IF NOT EXISTS events (
	uuid UUID NOT NULL,
	team_id BIGINT NOT NULL,
	event VARCHAR NOT NULL,
	distinct_id VARCHAR NOT NULL,
	"timestamp" TIMESTAMP NOT NULL,
	inserted_at TIMESTAMP NOT NULL,
	created_at TIMESTAMP NOT NULL,
	properties VARCHAR NOT NULL,
	person_properties VARCHAR,
	person_id VARCHAR,
	elements_chain VARCHAR NOT NULL
)`

// tables are the statements that make the tables of all models.
func (s *Store) tables() []string {
	statements := []string{createEvents}
	for _, m := range s.models {
		if m.Name != batch.ModelEvents {
			statements = append(statements, createModel(m))
		}
	}
	return statements
}

// stored is a model as the store keeps it.
func stored(m query.Model) query.Model {
	columns := make(map[query.Field]string, len(m.Fields))
	for _, f := range m.Fields {
		if columns[f.Name] = string(f.Name); f.Hidden && f.Instead != nil {
			columns[f.Name] = "" // it is computed
		}
	}
	return m.At([]string{string(m.Name)}, columns)
}

// createModel makes a table with the columns of a model.
func createModel(m query.Model) string {
	columns := make([]string, len(m.Fields))
	for i, f := range m.Fields {
		columns[i] = `"` + f.Column + `" ` + columnTypes[f.Type]
		if f.Required {
			columns[i] += " NOT NULL"
		}
	}
	return `CREATE TABLE IF NOT EXISTS "` + m.Table[0] + `" (` + strings.Join(columns, ", ") + ")"
}

var columnTypes = map[query.Type]string{
	query.TypeString: "VARCHAR", query.TypeInteger: "BIGINT", query.TypeFloat: "DOUBLE", query.TypeBoolean: "BOOLEAN",
	query.TypeInstant: "TIMESTAMP", query.TypeDate: "DATE", query.TypeJSON: "VARCHAR", query.TypeStrings: "VARCHAR[]",
}

// Open opens the store at path and makes it if it does not exist, but not its folder. One Store at a time can have a file
// open; the error is *InUseError otherwise.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	s := &Store{path: path, models: slices.Clone(o.Models), splitRows: o.SplitRows, allocator: o.Allocator, loading: make(chan struct{}, 1)}
	if s.models == nil {
		s.models = query.PostHog()
	}
	for i, m := range s.models {
		s.models[i] = stored(m)
	}
	if s.splitRows <= 0 {
		s.splitRows = defaultSplitRows
	}
	if s.allocator == nil {
		s.allocator = memory.NewGoAllocator()
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// DuckDB's own lock does not see a second opening by the same process.
	if s.lock, err = lockfile.Acquire(path + ".lock"); err != nil {
		if errors.Is(err, lockfile.ErrHeld) {
			return nil, &InUseError{Path: path}
		}
		return nil, fmt.Errorf("open the event store: %w", err)
	}
	// What a process that was killed had spilled is of no use to anybody.
	spill := path + ".tmp"
	if err := errors.Join(os.RemoveAll(spill), os.MkdirAll(spill, 0o700)); err != nil {
		return nil, fmt.Errorf("open the event store: %w", err)
	}
	if s.database, err = engine.Open(path, settings(o, spill)); err != nil {
		if errors.Is(err, engine.ErrInUse) {
			return nil, &InUseError{Path: path}
		}
		return nil, fmt.Errorf("open the event store %s: %w", filepath.Base(path), err)
	}
	return s, s.createTables(ctx)
}

func settings(o Options, spill string) map[string]string {
	limit, threads := o.MemoryLimit, o.Threads
	if limit == "" {
		limit = defaultMemoryLimit
	}
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	return map[string]string{
		"memory_limit":                 limit,
		"threads":                      strconv.Itoa(threads),
		"temp_directory":               spill,
		"autoinstall_known_extensions": "false", // nothing is fetched from elsewhere
		"autoload_known_extensions":    "false",
	}
}

func (s *Store) createTables(ctx context.Context) error {
	c, err := s.database.Connect()
	if err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	defer c.Close()
	for _, statement := range s.tables() {
		if _, err := c.Exec(ctx, statement); err != nil {
			return fmt.Errorf("create the tables: %w", err)
		}
	}
	return nil
}

// Kind names the source in metrics and traces.
func (s *Store) Kind() string { return "duckdb" }

// Close closes the file. Readers must be released before.
func (s *Store) Close() error {
	if s.database != nil {
		s.database.Close()
		s.database = nil
	}
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil
	return lock.Release()
}

// connect opens a connection; the caller closes it.
func (s *Store) connect() (*engine.Conn, error) {
	c, err := s.database.Connect()
	return c, classify(err)
}

// classify turns an error of DuckDB into one of ours. The ends of contexts stay as they are.
func classify(err error) error {
	if failure, ok := errors.AsType[*engine.Error](err); ok {
		return batch.Errorf(batch.CodeInternal, failure, "the event store could not answer")
	}
	return err
}
