// Package clickhousetest gives tests ClickHouse's engine behind its HTTP interface.
package clickhousetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/dev/clickhouse"
	"tranche/internal/testprocess"
)

const (
	// Library names the environment variable with the path of libchdb.so. Unset, it is looked for where make puts it.
	Library = "TRANCHE_TEST_CHDB"
	// LibraryGlob is where make puts it, below the project's root.
	libraryGlob = ".cache/tools/chdb-*/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
	// serveEnv has this program serve in place of running tests.
	serveEnv = "TRANCHE_TEST_CHDB_FOLDER"

	user, password = "exporter", "p&ss'w\"ord %"

	startTimeout = 60 * time.Second
	stopTimeout  = 15 * time.Second
)

// users are those that the server knows: one may do all, the others have a setting readonly.
var users = map[string]clickhouse.Profile{user: nil, "readonly1": {"readonly": "1"}, "readonly2": {"readonly": "2"}}

// ReadOnly is the address for the user whose setting readonly is 1 or 2.
func (s *Server) ReadOnly(address string, level int) string {
	return strings.Replace(address, "://"+user+":", fmt.Sprintf("://readonly%d:", level), 1)
}

// errNoLibrary says that there is no engine on this machine.
var errNoLibrary = errors.New("no libchdb.so: run make test-servers")

// A Server is one engine in a process of its own, on a free port. The zero value is ready: it starts with the first
// Database. Make one per test package:
//
//	var server clickhousetest.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Run(m)) }
type Server struct {
	once    sync.Once
	err     error
	folder  string
	process *testprocess.Process
	address string
	number  atomic.Int64
}

// Serving says whether this process is to be the server of another that runs tests: then Run serves, and there is
// nothing to prepare.
func Serving() bool { return os.Getenv(serveEnv) != "" }

// Run runs the tests of a package and stops the server after them. It returns the exit code.
func (s *Server) Run(m *testing.M) int {
	if folder := os.Getenv(serveEnv); folder != "" {
		if err := serve(folder); err != nil {
			fmt.Fprintln(os.Stderr, "clickhousetest:", err)
			return 1
		}
		return 0
	}
	defer s.stop()
	return m.Run()
}

// Database creates an empty database, which is dropped after the test, and returns a source's address of it. Without the
// engine the test is skipped, or fails when the environment has CI=true.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	s.once.Do(func() { s.err = s.start() })
	if errors.Is(s.err, errNoLibrary) && os.Getenv("CI") != "true" {
		tb.Skipf("SKIPPED, NOT TESTED ON CLICKHOUSE: %v", s.err)
	}
	require.NoError(tb, s.err)
	name := fmt.Sprintf("test_%d", s.number.Add(1))
	s.Execute(tb, s.url(""), "CREATE DATABASE "+name)
	tb.Cleanup(func() { s.Execute(tb, s.url(""), "DROP DATABASE "+name+" SYNC") })
	return s.url(name)
}

// url is an address as a source takes it.
func (s *Server) url(database string) string {
	u := url.URL{Scheme: "clickhouse", Host: s.address, User: url.UserPassword(user, password), Path: "/" + database}
	return u.String()
}

// Execute runs a statement in the database of the address. Data can follow the statement.
func (s *Server) Execute(tb testing.TB, address, statement string) {
	tb.Helper()
	status, text := s.Try(tb, address, statement)
	require.Equal(tb, http.StatusOK, status, "%s", text)
}

// Try is Execute for statements that may fail: it returns the status and the beginning of the answer.
func (s *Server) Try(tb testing.TB, address, statement string) (status int, text string) {
	tb.Helper()
	u, err := url.Parse(address)
	require.NoError(tb, err)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout) // also in clean-up, when the test's has ended
	defer cancel()
	target := url.URL{Scheme: "http", Host: u.Host, RawQuery: url.Values{"database": {strings.Trim(u.Path, "/")}}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(statement))
	require.NoError(tb, err)
	request.SetBasicAuth(u.User.Username(), password)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(tb, err)
	defer response.Body.Close()
	said, _ := bufio.NewReader(response.Body).Peek(2000) // as much as there is
	return response.StatusCode, string(said)
}

// Credentials are those that the server knows.
func (s *Server) Credentials() (name, secret string) { return user, password }

// find returns the library's path.
func find() (string, error) {
	if path := os.Getenv(Library); path != "" {
		return path, nil
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		found, err := filepath.Glob(filepath.Join(folder, libraryGlob))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", errNoLibrary
}

// start starts the server and waits until it says where it listens.
func (s *Server) start() error {
	library, err := find()
	if err != nil {
		return err
	}
	if s.folder, err = os.MkdirTemp("", "clickhousetest-"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	command := exec.Command(self) //nolint:noctx // it serves all tests and ends with stop
	command.Env = append(os.Environ(), serveEnv+"="+s.folder, Library+"="+library)
	command.Stdout, command.Stderr = in, os.Stderr
	s.process, err = testprocess.Start(command)
	if err = errors.Join(err, in.Close()); err != nil {
		return errors.Join(err, out.Close())
	}
	said := make(chan string, 1)
	go func() {
		defer out.Close()
		line, _ := bufio.NewReader(out).ReadString('\n') // "" when it ended before
		said <- strings.TrimSpace(line)
	}()
	select {
	case s.address = <-said:
	case <-time.After(startTimeout):
	}
	if s.address == "" {
		return errors.New("the server did not start")
	}
	return nil
}

func (s *Server) stop() {
	s.once.Do(func() { s.err = errors.New("the server is stopped") })
	if s.process != nil {
		s.process.Stop(syscall.SIGTERM, stopTimeout)
	}
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}

// serve is the server's process.
func serve(folder string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, listener.Addr())
	return clickhouse.Serve(ctx, listener, os.Getenv(Library), folder, users, password)
}
