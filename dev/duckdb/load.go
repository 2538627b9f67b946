package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"tranche/dev/duckdb/engine"
)

// Loaded counts the rows of a load.
type Loaded struct {
	Read    int64 // rows in the files
	Added   int64
	Skipped int64 // rows whose uuid was there already, or came earlier in the files
}

// A LoadError says which file could not be loaded and why.
type LoadError struct {
	File string
	Row  int64 // from 1; a line of a .jsonl file, a record after the header of a CSV file; 0 = the file as a whole
	Err  error
}

// Error names file, row and reason.
func (e *LoadError) Error() string {
	if e.Row == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s, row %d: %v", e.File, e.Row, e.Err)
}

// Unwrap returns the reason.
func (e *LoadError) Unwrap() error { return e.Err }

// A parser reads one file, which is known to be a regular one, and gives each of its rows, with the cells
// of a layout, to emit; they are valid until it returns. Errors of emit are
// returned as they are, others name the row they are about.
type parser func(ctx context.Context, path string, l layout, emit func(row int64, cells cells) error) error

// parserOf chooses by the name's ending.
func (s *Store) parserOf(path string) (parser, error) {
	name := strings.ToLower(path)
	switch {
	case strings.HasSuffix(name, ".parquet"):
		return s.parseParquet, nil
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".jsonl.gz"):
		return parseJSONLines, nil
	case strings.HasSuffix(name, ".csv"), strings.HasSuffix(name, ".csv.gz"):
		return parseCSV, nil
	}
	return nil, errors.New("the name must end in .parquet, .jsonl, .jsonl.gz, .csv or .csv.gz")
}

// The staging table is the connection's own and goes with it.
const (
	staging       = "loading"
	createStaging = `CREATE TEMP TABLE ` + staging + ` (
	seq BIGINT, uuid UUID, team_id BIGINT, event VARCHAR, distinct_id VARCHAR, "timestamp" TIMESTAMP,
	inserted_at TIMESTAMP, created_at TIMESTAMP, properties VARCHAR, person_properties VARCHAR, person_id VARCHAR,
	elements_chain VARCHAR)`

	// publish adds the first row of each uuid that is not there yet: one statement, hence one transaction. Only the
	// narrow columns go through the hash tables.
	publish = `INSERT INTO events
	SELECT uuid, team_id, event, distinct_id, "timestamp", inserted_at, created_at, properties, person_properties,
		person_id, elements_chain
	FROM ` + staging + ` s
	WHERE seq IN (SELECT min(seq) FROM ` + staging + ` GROUP BY uuid)
		AND NOT EXISTS (SELECT 1 FROM events e WHERE e.uuid = s.uuid)
	ORDER BY seq`
)

// stagingTypes are the types of the staging table's columns, in order.
var stagingTypes = []engine.Type{
	engine.BigInt, engine.UUID, engine.BigInt, engine.Varchar, engine.Varchar, engine.Timestamp,
	engine.Timestamp, engine.Timestamp, engine.Varchar, engine.Varchar, engine.Varchar, engine.Varchar,
}

// Load adds the events of the files: all of them, or none when there is an error, which is a *LoadError if a file is to
// blame. An event whose uuid is known is skipped: the first one wins.
//
// A row must have uuid, event, distinct_id and timestamp. Where it lacks inserted_at it gets the time of the load, and
// inserted_at for created_at; 1 for team_id, {} for properties, and nothing for the others.
func (s *Store) Load(ctx context.Context, files ...string) (Loaded, error) {
	return s.load(ctx, createStaging, publish, func(c *engine.Conn) (int64, error) { return s.stage(ctx, c, files) })
}

// load makes the staging table, has it filled and publishes what is in it.
func (s *Store) load(ctx context.Context, create, publish string, stage func(c *engine.Conn) (int64, error)) (loaded Loaded, err error) {
	select {
	case s.loading <- struct{}{}:
	case <-ctx.Done():
		return Loaded{}, ctx.Err()
	}
	defer func() { <-s.loading }()

	c, err := s.connect()
	if err != nil {
		return Loaded{}, err
	}
	defer c.Close()
	if _, err := c.Exec(ctx, create); err != nil {
		return Loaded{}, fmt.Errorf("load: %w", err)
	}
	if loaded.Read, err = stage(c); err != nil {
		return Loaded{}, err
	}
	if loaded.Added, err = c.Exec(ctx, publish); err != nil {
		return Loaded{}, fmt.Errorf("load: %w", err)
	}
	loaded.Skipped = loaded.Read - loaded.Added
	return loaded, nil
}

// contextEvery is the number of rows after which a load looks whether it is still wanted.
const contextEvery = 1024

// stage reads the files into the staging table and returns the number of rows.
func (s *Store) stage(ctx context.Context, c *engine.Conn, files []string) (rows int64, err error) {
	now := time.Now()
	return s.stageRows(ctx, c, files, eventLayout, stagingTypes, func(a *engine.Appender, seq int64, row cells) error {
		e, err := row.event(now)
		if err == nil {
			e.append(a, seq)
		}
		return err
	})
}

// stageRows reads the rows of files into the staging table, by way of add.
func (s *Store) stageRows(
	ctx context.Context, c *engine.Conn, files []string, l layout, types []engine.Type, add func(a *engine.Appender, seq int64, row cells) error,
) (rows int64, err error) {
	appender, err := c.Append(staging, types...)
	if err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	defer appender.Discard()
	for _, file := range files {
		parse, err := s.parserOf(file)
		if err == nil {
			err = checkRegular(file)
		}
		if err != nil {
			return 0, &LoadError{File: file, Err: err}
		}
		err = parse(ctx, file, l, func(row int64, found cells) error {
			if rows%contextEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := add(appender, rows, found); err != nil {
				return &LoadError{File: file, Row: row, Err: err}
			}
			rows++
			return appender.Next()
		})
		if err != nil {
			return 0, err
		}
	}
	return rows, appender.Close()
}

// checkRegular refuses what cannot be read to its end: folders, devices, pipes.
func checkRegular(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return errors.New("there is no such file")
		}
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return nil
}
