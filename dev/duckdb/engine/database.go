// Package engine is a thin layer over DuckDB's C interface: statements with bound values, results that stream, appends
// by the chunk, and contexts that interrupt. It knows nothing of events.
//
// It is used in place of database/sql because that materialises a result before its first row, and converts each value.
package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// ErrInUse says that another process has the database file open.
var ErrInUse = errors.New("the database is in use by another process")

// An Error is what DuckDB reports.
type Error struct {
	Message string
}

// Error is DuckDB's text.
func (e *Error) Error() string { return "duckdb: " + e.Message }

// A Database is an open database file, or a database in memory.
type Database struct {
	native bindings.Database
}

// Open opens the file at path, "" = in memory, with DuckDB's settings. The same file must not be opened twice in one
// process: DuckDB's lock does not see that.
func Open(path string, settings map[string]string) (*Database, error) {
	var config bindings.Config
	defer bindings.DestroyConfig(&config)
	if bindings.CreateConfig(&config) == bindings.StateError {
		return nil, &Error{Message: "no memory for the settings"}
	}
	for name, value := range settings {
		if bindings.SetConfig(config, name, value) == bindings.StateError {
			return nil, &Error{Message: fmt.Sprintf("the setting %s cannot be %q", name, value)}
		}
	}
	d := &Database{}
	var message string
	if bindings.OpenExt(path, &d.native, config, &message) == bindings.StateError {
		bindings.Close(&d.native)
		return nil, classifyOpen(message)
	}
	return d, nil
}

// classifyOpen knows DuckDB's errors at opening, which come as text only.
func classifyOpen(message string) error {
	if strings.Contains(message, "Could not set lock on file") {
		return fmt.Errorf("%w: %w", ErrInUse, &Error{Message: message})
	}
	return &Error{Message: message}
}

// Close closes the database. Its connections must be closed before.
func (d *Database) Close() { bindings.Close(&d.native) }

// A Conn is one connection: one statement at a time.
type Conn struct {
	native bindings.Connection

	mu     sync.Mutex // held while native is interrupted or closed
	closed bool
}

// Connect opens a connection.
func (d *Database) Connect() (*Conn, error) {
	c := &Conn{}
	if bindings.Connect(d.native, &c.native) == bindings.StateError {
		return nil, &Error{Message: "no connection"}
	}
	return c, nil
}

// Close closes the connection. What was prepared on it must be closed before.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		bindings.Disconnect(&c.native)
	}
}

// interrupt ends what the connection is doing. It does nothing on a closed one.
func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		bindings.Interrupt(c.native)
	}
}

// interruptEvery is how often a call is interrupted until it returns: DuckDB forgets an interrupt that comes just before
// a statement begins.
const interruptEvery = 5 * time.Millisecond

// guard runs call, which is one call into DuckDB, and interrupts it when ctx ends. An error of an interrupted call is
// ctx's.
func (c *Conn) guard(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	returned, interrupted := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		again := time.NewTicker(interruptEvery)
		defer again.Stop()
		for {
			c.interrupt()
			select {
			case <-returned:
				return
			case <-again.C:
			}
		}
	})
	err := call()
	close(returned)
	if !stop() {
		<-interrupted
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
