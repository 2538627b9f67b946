package postgres_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/postgres"
	"tranche/internal/safenet"
)

// A network is a proxy before the database, whose faults are toxiproxy's.
type network struct {
	*testing.T
	proxy *toxiproxy.Proxy
}

// throughNetwork puts a network between the destination and its database.
func throughNetwork(t *testing.T, config map[string]any) *network {
	t.Helper()
	log := zerolog.Nop()
	upstream := net.JoinHostPort(config["host"].(string), fmt.Sprint(config["port"]))
	n := &network{T: t, proxy: toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log), t.Name(), "127.0.0.1:0", upstream)}
	require.NoError(t, n.proxy.Start())
	t.Cleanup(n.proxy.Stop)
	host, port, err := net.SplitHostPort(n.proxy.Listen)
	require.NoError(t, err)
	config["host"], config["port"] = host, port
	return n
}

// add adds a toxic to all connections, those that are open included.
func (n *network) add(kind, stream, attributes string) {
	n.Helper()
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, kind+"_"+stream, kind, stream, attributes)))
	require.NoError(n, err)
}

func (n *network) heal() { n.proxy.Toxics.ResetToxics(context.WithoutCancel(n.Context())) }

// silence swallows what is sent in both directions, on every connection, and closes none.
func (n *network) silence() {
	n.Helper()
	n.add("timeout", "upstream", `"timeout": 0`)
	n.add("timeout", "downstream", `"timeout": 0`)
}

// reset resets every connection as soon as something is sent.
func (n *network) reset() {
	n.Helper()
	n.add("reset_peer", "upstream", `"timeout": 0`)
	n.add("reset_peer", "downstream", `"timeout": 0`)
}

//nolint:paralleltest // the suite watches the process's goroutines
func TestConformanceOnASlowNetwork(t *testing.T) {
	database.Database(t)
	for name, slow := range map[string]func(*network){
		"latency": func(n *network) { n.add("latency", "downstream", `"latency": 3, "jitter": 2`) },
		"little bandwidth": func(n *network) {
			n.add("bandwidth", "upstream", `"rate": 20000`)
			n.add("slicer", "upstream", `"average_size": 20000, "size_variation": 10000, "delay": 10`)
		},
	} { //nolint:paralleltest // see above
		t.Run(name, func(t *testing.T) {
			destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
				t.Helper()
				f := fixture(t, database.Database(t), nil)
				slow(throughNetwork(t, f.Config))
				return f
			})
		})
	}
}

// pausing is a reader that does something before its second batch.
type pausing struct {
	array.RecordReader
	read int
	do   func()
}

// Next does it once.
func (r *pausing) Next() bool {
	if r.read++; r.read == 2 {
		r.do()
	}
	return r.RecordReader.Next()
}

func TestANetworkThatFailsWhileASplitIsCopiedCostsAnAttempt(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*network){
		"the connection is reset":                   (*network).reset,
		"the network falls silent":                  (*network).silence,
		"the connection is closed after some bytes": func(n *network) { n.add("limit_data", "upstream", `"bytes": 10000`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.server = laptop.WithHaste(t)
			n := throughNetwork(t, p.config)
			run, j, events := p.run(batch.ModelEvents, 0), &journal{}, numbered(0, 60)
			first := &pausing{RecordReader: reader(t, events...), do: func() { fail(n) }}
			_, err := p.open(p.server).Stage(t.Context(), job(run, 1, j), first)
			require.True(t, batch.CodeOf(err).Retryable(), "%v", err)
			require.NotEqual(t, batch.CodeInternal, batch.CodeOf(err), "%v", err)
			n.heal()
			receipt, err := p.open(p.server).Stage(t.Context(), job(run, 2, j), reader(t, events...))
			require.NoError(t, err)
			_, err = p.open(p.server).Commit(t.Context(), run, []destinations.Receipt{receipt}, nil)
			require.NoError(t, err)
			p.seesOnce(events)
			require.NoError(t, p.open(p.server).Abort(t.Context(), j.close()))
			require.Empty(t, p.staged())
		})
	}
}

// seesOnce requires that each of the events is visible once.
func (p *place) seesOnce(events []event) {
	p.Helper()
	want := make([]string, len(events))
	for i, e := range events {
		want[i] = e.uuid
	}
	require.Equal(p, want, p.texts(`SELECT uuid`+byUUID))
}

func TestANetworkThatFailsDuringACommitNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"lock", "publish", "record", "commit"} {
		for name, fail := range map[string]func(*network){
			"the connection is reset":  (*network).reset,
			"the network falls silent": (*network).silence,
			"the answer is cut off":    func(n *network) { n.add("limit_data", "downstream", `"bytes": 0`) },
		} {
			t.Run(step+": "+name, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				p.server = laptop.WithHaste(t)
				n := throughNetwork(t, p.config)
				run, j, events := p.run(batch.ModelEvents, 0), &journal{}, numbered(0, 20)
				receipt, err := p.open(p.server).Stage(t.Context(), job(run, 1, j), reader(t, events...))
				require.NoError(t, err)
				receipts := []destinations.Receipt{receipt}
				failing := p.server.WithFaults(t, func(_ context.Context, at string) error {
					if at == step {
						fail(n)
					}
					return nil
				})
				_, err = p.open(failing).Commit(t.Context(), run, receipts, nil)
				require.True(t, batch.CodeOf(err).Retryable(), "%v", err)
				require.NotEqual(t, batch.CodeInternal, batch.CodeOf(err), "%v", err)
				n.heal()
				published, err := p.open(p.server).Commit(t.Context(), run, receipts, nil)
				require.NoError(t, err)
				require.Equal(t, int64(len(events)), published.Rows)
				p.seesOnce(events)
				require.NoError(t, p.open(p.server).Abort(t.Context(), j.close()))
				require.Empty(t, p.staged())
			})
		}
	}
}

// TestACommitWhoseAnswerIsLostFindsItselfDone cuts the connection once the server has committed, and lets the same call
// go on.
func TestACommitWhoseAnswerIsLostFindsItselfDone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.server = laptop.WithHaste(t)
	n := throughNetwork(t, p.config)
	run, events := p.run(batch.ModelEvents, 0), numbered(0, 20)
	receipt, err := p.open(p.server).Stage(t.Context(), job(run, 1, &journal{}), reader(t, events...))
	require.NoError(t, err)
	healed := make(chan struct{})
	commits := 0
	failing := p.server.WithFaults(t, func(_ context.Context, at string) error {
		if at != "commit" {
			return nil
		}
		commits++
		n.add("limit_data", "downstream", `"bytes": 0`)
		go func() { //nolint:contextcheck // it outlives the test's context
			defer close(healed)
			for {
				rows, err := collect[struct{ N int }](context.WithoutCancel(t.Context()), p.url, `SELECT count(*)::int FROM shop.events`)
				if err != nil || rows[0].N > 0 {
					break
				}
			}
			n.heal()
		}()
		return nil
	})
	_, err = p.open(failing).Commit(t.Context(), run, []destinations.Receipt{receipt}, nil)
	require.NoError(t, err)
	<-healed
	require.Equal(t, 1, commits)
	p.seesOnce(events)
}

// TestASessionThatTheServerEndsIsOpenedAgain is a failover, or an administrator at work.
func TestASessionThatTheServerEndsIsOpenedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	run, events := p.run(batch.ModelEvents, 0), numbered(0, 20)
	receipt, err := p.open(p.server).Stage(t.Context(), job(run, 1, &journal{}), reader(t, events...))
	require.NoError(t, err)
	ended := false
	failing := p.server.WithFaults(t, func(_ context.Context, at string) error {
		if at == "record" && !ended {
			ended = true
			p.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`) //nolint:contextcheck // it outlives the test's context
		}
		return nil
	})
	_, err = p.open(failing).Commit(t.Context(), run, []destinations.Receipt{receipt}, nil)
	require.NoError(t, err)
	require.True(t, ended)
	p.seesOnce(events)
}

// rebinding is a guard that knows better at the dial than it did before.
type rebinding struct{}

// Check allows every host.
func (rebinding) Check(context.Context, string) error { return nil }

// Control refuses every address.
func (rebinding) Control(string, string, syscall.RawConn) error { return safenet.ErrForbidden }

func TestAHostThatNobodyMayConnectToIsRefusedAtTheDial(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.config["host"] = "localhost"
	guarded := postgres.Server{Plaintext: true, Guard: rebinding{}}
	_, err := p.open(guarded).Commit(t.Context(), p.run(batch.ModelEvents, 0), nil, nil)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
	require.Equal(t, "the host is not one that this server may connect to", batch.MessageOf(err))
}
