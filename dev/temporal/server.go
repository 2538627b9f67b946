// Package temporal runs a Temporal server with its Web UI inside the process, on a SQLite file: for a laptop, the demo
// and tests. It holds nothing that the service needs in production, where Temporal is a cluster of its own.
package temporal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tranche/dev/lockfile"
)

// Namespace is the only namespace that the server has, beside Temporal's own.
const Namespace = "default"

// Options say where the server keeps its state and where it listens.
type Options struct {
	// Dir holds the state and is made if it does not exist. One process at a time can use it.
	Dir string
	// Stores hold the state in place of Dir; nil = Dir does.
	Stores *Stores
	// Port of the frontend on 127.0.0.1; 0 = any free one.
	Port int
	// UIListen is the host:port of the Web UI, port 0 = any free one; "" = no UI.
	UIListen string
	// SearchAttributes are registered at every start, also in a directory that an earlier start made.
	SearchAttributes map[string]enumspb.IndexedValueType
	// Logger gets the server's errors; nil = none.
	Logger *zap.Logger
}

// A Server is a running Temporal server.
type Server struct {
	server temporal.Server
	ui     *webUI // nil = none
	lock   *lockfile.Lock
	ports  ports

	stopping sync.Once
	stopErr  error
}

// An InUseError says that another process holds the data directory.
type InUseError struct {
	Dir string
}

// Error names the directory.
func (e *InUseError) Error() string {
	return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
}

// Start runs a server and returns when it serves. The errors that the caller can act on are *InUseError,
// *VersionError and *PortError.
//
// Between the check of a port and its use another process can still take it; Temporal then ends the process.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	opened, err := s.openState(ctx, o)
	if err != nil {
		return nil, err
	}
	if s.ports, err = choosePorts(ctx, o.Port, o.UIListen); err != nil {
		return nil, err
	}
	if err := s.serve(ctx, opened, o); err != nil {
		return nil, err
	}
	if o.UIListen != "" {
		if s.ui, err = startUI(ctx, s.ports.ui, s.HostPort()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openState opens what the server keeps its state in, and locks a directory.
func (s *Server) openState(ctx context.Context, o Options) (stores, error) {
	if o.Stores != nil {
		return openStores(ctx, *o.Stores, o.SearchAttributes)
	}
	err := os.MkdirAll(o.Dir, 0o700)
	if err != nil {
		return stores{}, fmt.Errorf("make the data directory: %w", err)
	}
	if s.lock, err = lockfile.Acquire(filepath.Join(o.Dir, "temporal.lock")); err != nil {
		if errors.Is(err, lockfile.ErrHeld) {
			return stores{}, &InUseError{Dir: o.Dir}
		}
		return stores{}, err
	}
	database, err := openDatabase(o.Dir, o.SearchAttributes)
	return stores{main: database, visibility: database}, err
}

// serve starts the services, a second time when the namespace had to learn new search attributes.
func (s *Server) serve(ctx context.Context, opened stores, o Options) (err error) {
	logger := serverLogger(o.Logger)
	if s.server, err = startServer(serverConfig(opened, s.ports), s.ports, logger); err != nil {
		return err
	}
	added, err := ensureSearchAttributes(ctx, s.HostPort(), o.SearchAttributes)
	if err != nil || !added {
		return err
	}
	old := s.server
	s.server = nil
	if err := old.Stop(); err != nil {
		return fmt.Errorf("stop the Temporal server: %w", err)
	}
	s.server, err = startServer(serverConfig(opened, s.ports), s.ports, logger)
	return err
}

// HostPort is where clients dial.
func (s *Server) HostPort() string { return s.ports.frontend() }

// UIURL is the address of the Web UI, or "".
func (s *Server) UIURL() string {
	if s.ui == nil {
		return ""
	}
	return s.ui.url
}

// Stop ends the UI and the server, and frees the directory. It may be called more than once.
func (s *Server) Stop() error {
	s.stopping.Do(func() {
		if s.ui != nil {
			s.ui.stop()
		}
		if s.server != nil {
			s.stopErr = s.server.Stop()
		}
		if s.lock != nil {
			s.stopErr = errors.Join(s.stopErr, s.lock.Release())
		}
	})
	return s.stopErr
}

// serverLogger gives the server our logger, for errors only: it warns of things that are ordinary with one node.
func serverLogger(l *zap.Logger) log.Logger {
	if l == nil {
		l = zap.NewNop()
	}
	return log.NewZapLogger(l.WithOptions(zap.IncreaseLevel(zapcore.ErrorLevel)))
}
