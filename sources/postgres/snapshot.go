package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/sources"
)

var _ sources.Snapshotter = (*Source)(nil)

const (
	// defaultSnapshotFor is how long a snapshot is held at most: as long as it is, the server removes no row version that
	// it could still see, in no table of the database.
	defaultSnapshotFor = 15 * time.Minute
	// mostSnapshots are held by one source at once; each has a connection.
	mostSnapshots = 16
	// serverMargin is how much longer than we the server waits before it ends a held transaction by itself: then we are
	// gone, or frozen.
	serverMargin = time.Minute
)

// snapshots are the transactions that are kept open so that others can see what they see.
type snapshots struct {
	mu     sync.Mutex
	held   map[string]*heldSnapshot // by name
	making int
	closed bool
}

// A heldSnapshot is one of them.
type heldSnapshot struct {
	release func()
	answers map[string]bool // what was found out in it, by the question
}

// answer is what was found out in a snapshot before.
func (s *snapshots) answer(name, question string) (answer, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, ok := s.held[name]; ok {
		answer, known = held.answers[question]
	}
	return answer, known
}

// remember keeps what was found out in a snapshot as long as it is held.
func (s *snapshots) remember(name, question string, answer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, ok := s.held[name]; ok {
		held.answers[question] = answer
	}
}

// reserve makes room for one more; false = there are enough.
func (s *snapshots) reserve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.held)+s.making >= mostSnapshots {
		return false
	}
	s.making++
	return true
}

// keep puts a snapshot into its reserved room, and lets it go after some time; "" gives the room back. False: there is none,
// or the source is closed.
func (s *snapshots) keep(name string, limit time.Duration, hangUp func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.making--
	if s.closed || name == "" {
		return false
	}
	timer := time.AfterFunc(limit, func() { s.release(name) })
	if s.held == nil {
		s.held = make(map[string]*heldSnapshot)
	}
	release := sync.OnceFunc(func() {
		timer.Stop()
		hangUp()
	})
	s.held[name] = &heldSnapshot{release: release, answers: make(map[string]bool)}
	return true
}

// release lets a snapshot go, and returns when it is gone.
func (s *snapshots) release(name string) {
	s.mu.Lock()
	held, ok := s.held[name]
	s.mu.Unlock()
	if !ok {
		return
	}
	held.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, name)
}

// close lets all go.
func (s *snapshots) close() {
	s.mu.Lock()
	s.closed = true
	var names []string
	for name := range s.held {
		names = append(names, name)
	}
	s.mu.Unlock()
	for _, name := range names {
		s.release(name)
	}
}

// exportSnapshot names the transaction's snapshot and the server that has it: replicas, and a server before and after it
// was started anew, can give one name to different snapshots. Whoever operates the server may have it end idle
// transactions sooner than we would.
const exportSnapshot = `SELECT pg_export_snapshot() || '@' || ` + serverName + `, set_config(name,
	CASE WHEN setting::bigint BETWEEN 1 AND $1::bigint THEN setting ELSE $1::bigint::text END, true)
	FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'`

// serverName is when the server was started, to the microsecond.
const serverName = `(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text`

// Hold keeps a transaction open whose snapshot Open shares, until Release or for some minutes. "" = the source does not.
func (s *Source) Hold(ctx context.Context) (string, error) {
	if s.snapshotFor < 0 {
		return "", nil
	}
	if !s.snapshots.reserve() {
		return "", batch.Errorf(batch.CodeThrottled, nil, "%d snapshots of the PostgreSQL source are held already", mostSnapshots)
	}
	name, c, err := s.export(ctx)
	end := func() { hangUp(context.WithoutCancel(ctx), c) }
	if s.snapshots.keep(name, s.snapshotFor, end) || err != nil {
		return name, err
	}
	end()
	return "", nil
}

// export opens a transaction and names its snapshot; "" = an error.
func (s *Source) export(ctx context.Context) (name string, c *pgx.Conn, err error) {
	if c, err = s.connect(ctx); err != nil {
		return "", nil, err
	}
	limit := (s.snapshotFor + serverMargin).Milliseconds()
	if err := c.QueryRow(ctx, exportSnapshot, limit).Scan(&name, nil); err != nil {
		hangUp(ctx, c)
		return "", nil, classify(ctx, err)
	}
	return name, c, nil
}

// Release lets go of a snapshot, if it is one that this process holds. Whoever reads by it already goes on.
func (s *Source) Release(name string) { s.snapshots.release(name) }

// snapshotName is what names look like.
var snapshotName = regexp.MustCompile(`^([0-9A-F]{8}-[0-9A-F]{8}-[0-9]{1,10})@([0-9]{1,20})$`)

// gone are the errors of a snapshot that nobody holds any more, by SQLSTATE.
var gone = map[string]bool{
	"22023": true, // nothing of the name
	"55000": true, // its transaction has ended meanwhile
	"42704": true, // nothing of the name, as newer servers have it
}

// join is connect for a transaction that sees the snapshot of the name, as long as it is held; then it sees its own.
func (s *Source) join(ctx context.Context, name string) (*pgx.Conn, error) {
	found := snapshotName.FindStringSubmatch(name)
	if found == nil {
		return s.connect(ctx)
	}
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, classify(ctx, err)
	}
	joined, err := s.enter(ctx, c, found[1], found[2])
	if err == nil && !joined {
		_, err = c.PgConn().Exec(ctx, "ROLLBACK; "+s.begin).ReadAll()
	}
	if err != nil {
		hangUp(ctx, c)
		return nil, classify(ctx, err)
	}
	return c, nil
}

// enter begins a transaction with the snapshot; false = there is no such snapshot, and the transaction is of no use.
func (s *Source) enter(ctx context.Context, c *pgx.Conn, id, server string) (bool, error) {
	begin, settings, _ := strings.Cut(s.begin, "; ")
	// The first statement after BEGIN chooses the snapshot.
	results, err := c.PgConn().Exec(ctx, fmt.Sprintf("%s; SET TRANSACTION SNAPSHOT '%s'; %s; SELECT %s", begin, id, settings, serverName)).ReadAll()
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && gone[e.Code] {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last := results[len(results)-1]
	return len(last.Rows) == 1 && string(last.Rows[0][0]) == server, nil
}
