// Package pgtest gives tests a real PostgreSQL of their own.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tranche/internal/testprocess"
)

const (
	startTimeout  = 60 * time.Second
	stopTimeout   = 10 * time.Second
	createTimeout = 30 * time.Second
)

// errNoServer says that there is no PostgreSQL on this machine.
var errNoServer = errors.New("no PostgreSQL server: install postgresql-15, or have pg_config in PATH")

// A Server is one PostgreSQL cluster in a temporary folder, on a free port, with durability off. The zero value is ready:
// the cluster starts with the first Database. Make one per test package and stop it in TestMain:
//
//	var server pgtest.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Run(m)) }
type Server struct {
	once sync.Once
	err  error

	dir    string
	port   int
	stop   func()
	number atomic.Int64
}

// Run runs the tests of a package and stops the server after them. It returns the exit code.
func (s *Server) Run(m *testing.M) int {
	defer s.Stop()
	return m.Run()
}

// Database creates an empty database, which is dropped after the test, and returns its URL. Without PostgreSQL the test
// is skipped, or fails when the environment has CI=true.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	s.once.Do(func() { s.err = s.start() })
	if errors.Is(s.err, errNoServer) && os.Getenv("CI") != "true" {
		tb.Skipf("SKIPPED, NOT TESTED ON POSTGRESQL: %v", s.err)
	}
	if s.err != nil {
		tb.Fatalf("start PostgreSQL: %v", s.err)
	}
	name := fmt.Sprintf("test_%d", s.number.Add(1))
	if err := s.execute("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return s.url(name)
}

// Stop ends the server and removes its folder. It does nothing when no test needed the server.
func (s *Server) Stop() {
	s.once.Do(func() { s.err = errors.New("the server is stopped") })
	if s.stop != nil {
		s.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a temporary folder: what stays behind harms nobody
	}
}

// BinVariable names, in the environment, the folder of the server's programs, to test on another version than the newest
// that is installed.
const BinVariable = "TRANCHE_TEST_POSTGRES"

// Bin returns the folder of the server's programs.
func Bin() (string, error) {
	if bin := os.Getenv(BinVariable); bin != "" {
		return bin, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		return filepath.Dir(found[0]), nil
	}
	out, err := exec.Command("pg_config", "--bindir").Output()
	if err != nil {
		return "", errNoServer
	}
	bin := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		return "", errNoServer
	}
	return bin, nil
}

// version is the major version in a path like /usr/lib/postgresql/15/bin/postgres, or 0.
func version(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// execute runs a statement in the maintenance database.
func (s *Server) execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// start makes the cluster and waits until it answers.
func (s *Server) start() error {
	bin, err := Bin()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return err
	}
	attributes, err := attributes(s.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--no-locale", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = attributes, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if s.port, err = testprocess.FreePort(); err != nil {
		return err
	}
	var output strings.Builder
	postgres := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "wal_level=minimal", "-c", "max_wal_senders=0")
	postgres.SysProcAttr, postgres.Dir = attributes, s.dir
	postgres.Stderr = &output
	process, err := testprocess.Start(postgres)
	if err != nil {
		return err
	}
	s.stop = func() { process.Stop(syscall.SIGINT, stopTimeout) } // a fast shutdown
	if err := process.Await(func() bool { return s.execute("SELECT 1") == nil }, startTimeout); err != nil {
		s.stop()
		return fmt.Errorf("%w: %s", err, output.String())
	}
	return nil
}

// attributes make the server die with the test, and run it as the user postgres when we are root, which it refuses.
func attributes(dir string) (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if os.Geteuid() != 0 {
		return attributes, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoServer, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, os.Chown(dir, int(uid), int(gid))
}
