package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/safenet"
)

// patience is how long to wait for the other side.
type patience struct {
	dial     time.Duration // to be connected and logged in
	short    time.Duration // for a statement that touches few rows, and for a lock
	long     time.Duration // for one that moves rows, when the context has no end
	stall    time.Duration // for the server to take what we write
	idle     time.Duration // before the server ends a transaction whose client says nothing: it may be frozen
	probe    time.Duration // between looks, from a second connection, whether the server still works on a long statement
	close    time.Duration // to say goodbye
	attempts int           // to connect
	pause    time.Duration // before the second attempt; it doubles, up to maxPauses of it
}

const maxPauses = 16

func defaultPatience() patience {
	return patience{
		dial: 10 * time.Second, short: 30 * time.Second, long: 6 * time.Hour, stall: time.Minute, idle: time.Minute,
		probe: 15 * time.Second, close: 2 * time.Second, attempts: 3, pause: 200 * time.Millisecond,
	}
}

// patienceFor is long for deliveries, and ends within seconds where somebody waits.
func (s Server) patienceFor(owner destinations.Owner) patience {
	if s.patience != nil {
		return *s.patience
	}
	p := defaultPatience()
	if owner.Attended {
		p.dial, p.short, p.attempts = 4*time.Second, 10*time.Second, 1
	}
	return p
}

// connectConfig turns settings into those of the driver. Nothing comes from our environment.
func (s Server) connectConfig(c Config) (*pgx.ConnConfig, error) {
	host, err := safenet.Normalize(c.Host)
	if err != nil {
		return nil, batch.Errorf(batch.CodeConfig, err, "the host is no name or address of a server")
	}
	// What the text says keeps the environment from being asked; pgx wants its configs made this way.
	config, err := pgx.ParseConfig("host=localhost user=none password=none dbname=none sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("connection settings: %w", err)
	}
	config.Host, config.Port, config.Database = host, uint16(c.Port), c.Database //nolint:gosec // validated
	config.User, config.Password = c.User.Reveal(), c.Password.Reveal()
	config.RuntimeParams = map[string]string{"application_name": application, "timezone": "UTC", "client_encoding": "UTF8"}
	config.Fallbacks, config.ValidateConnect = nil, nil
	// Without prepared statements, so that a pooler of sessions may stand between.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.DialFunc = s.dial
	mode := s.tlsMode(c)
	config.TLSConfig = tlsConfig(mode, host, c.RootCert)
	if mode == tlsPrefer {
		config.Fallbacks = []*pgconn.FallbackConfig{{Host: host, Port: config.Port}}
	}
	return config, nil
}

// application is how our sessions are known to the server, and to each other.
const application = "tranche"

// tlsConfig is nil where there is to be no TLS.
func tlsConfig(mode, host string, roots *string) *tls.Config {
	if mode == tlsDisable {
		return nil
	}
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if roots != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(*roots)) // validated
	}
	if mode == tlsVerifyFull {
		return config
	}
	config.InsecureSkipVerify = true
	if mode == tlsVerifyCA {
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, config.RootCAs) }
	}
	return config
}

// verifyChain verifies who signed a certificate, but not for which host.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// Dead peers are noticed within a minute, also when nothing is to be written.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}

func (s Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	if s.Guard != nil {
		dialer.Control = s.Guard.Control
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stall := defaultPatience().stall
	if s.patience != nil {
		stall = s.patience.stall
	}
	return &stalling{Conn: conn, stall: stall}, nil
}

// stalling is a connection on which a write fails that the other side does not take in time. Without it, one whose
// network has gone silent would be written to for ever.
type stalling struct {
	net.Conn
	stall time.Duration

	mu  sync.Mutex
	set bool // somebody else has set a deadline, which says when a context ended
}

// Write writes within the limit.
func (s *stalling) Write(p []byte) (int, error) {
	s.mu.Lock()
	if !s.set {
		if err := s.Conn.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
			s.mu.Unlock()
			return 0, err
		}
	}
	s.mu.Unlock()
	return s.Conn.Write(p)
}

// SetDeadline sets the deadline that a context has.
func (s *stalling) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = !t.IsZero()
	return s.Conn.SetDeadline(t)
}

// A session is a connection in use by one call.
type session struct {
	*pgx.Conn
	patience
}

// session connects, a few times when the server is busy or away. The caller ends it.
func (d *destination) session(ctx context.Context) (*session, error) {
	pause := d.pause
	for attempt := 1; ; attempt++ {
		s, err := d.connectOnce(ctx)
		if err == nil {
			return s, nil
		}
		err = classify(ctx, err)
		if attempt == d.attempts || !batch.CodeOf(err).Retryable() || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPauses*d.pause)
	}
}

func (d *destination) connectOnce(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, d.dial)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, d.connect.Copy())
	if err != nil {
		return nil, err
	}
	s := &session{Conn: conn, patience: d.patience}
	// A role or a database may have other limits: what a delivery needs is said here. Older servers lack some settings.
	_, err = conn.Exec(ctx, `SELECT set_config(s.name, v.value, false) FROM (VALUES
		('statement_timeout', $1), ('lock_timeout', $1), ('idle_in_transaction_session_timeout', $2),
		('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('client_connection_check_interval', '10s'),
		('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')
	) v(name, value) JOIN pg_catalog.pg_settings s ON s.name = v.name`, millis(d.short), millis(d.idle))
	if err != nil {
		s.end(ctx)
		return nil, err
	}
	return s, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }

// end says goodbye, for a moment also when ctx is over. What was not committed is undone.
func (s *session) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.close)
	defer cancel()
	_ = s.Close(ctx) // the server notices by itself
	select {
	case <-s.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// exec runs a statement that touches few rows.
func (s *session) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.short)
	defer cancel()
	tag, err := s.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

// row reads the one row of a query that touches few; pgx.ErrNoRows says that there is none.
func (s *session) row(ctx context.Context, into []any, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, s.short)
	defer cancel()
	return s.QueryRow(ctx, sql, args...).Scan(into...)
}

// relax lets statements take as long as the context does.
func (s *session) relax(ctx context.Context) error {
	limit := s.long
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	_, err := s.exec(ctx, "SELECT set_config('statement_timeout', $1, false)", millis(limit))
	return err
}

// errLost says that the server no longer works on a statement whose answer did not come.
var errLost = errors.New("the connection is dead: the server does not work on the statement any more")

// watch does what takes long, and looks from a second connection whether the server still works on it: on a connection
// that has silently died, its answer would be waited for until the time limit.
func (d *destination) watch(ctx context.Context, s *session, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		d.probeUntil(ctx, done, s.PgConn().PID(), cancel)
	}()
	err := do(ctx)
	close(done)
	cancel(nil)
	<-ended
	if errors.Is(context.Cause(ctx), errLost) && err != nil {
		return batch.Errorf(batch.CodeUnavailable, errLost, "the connection to the server was lost")
	}
	return err
}

// probeUntil looks again and again until done; lost is called when nobody works on the statement.
func (d *destination) probeUntil(ctx context.Context, done <-chan struct{}, pid uint32, lost context.CancelCauseFunc) {
	const looks = 3 // in a row: the statement may just have ended, or the server be busy
	ticker := time.NewTicker(d.probe)
	defer ticker.Stop()
	missed := 0
	for missed < looks {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if d.works(ctx, pid) {
			missed = 0
		} else {
			missed++
		}
	}
	lost(errLost)
}

// works says whether the server process is busy with a statement.
func (d *destination) works(ctx context.Context, pid uint32) bool {
	ctx, cancel := context.WithTimeout(ctx, d.dial)
	defer cancel()
	s, err := d.connectOnce(ctx)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return true // by a server that answers: that tells nothing of the statement
	}
	if err != nil {
		return false
	}
	defer s.end(ctx)
	var active bool
	err = s.row(ctx, []any{&active}, `SELECT state = 'active' FROM pg_catalog.pg_stat_activity WHERE pid = $1`, int64(pid))
	return err == nil && active
}
