package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
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
	databaseURL := database.Database(t)
	for name, toxics := range map[string][]toxic{
		"latency": {{"latency", "downstream", `"latency": 3, "jitter": 2`}},
		"little bandwidth": {
			{"bandwidth", "upstream", `"rate": 20000`},
			{"slicer", "upstream", `"average_size": 20000, "size_variation": 10000, "delay": 10`},
		},
	} { //nolint:paralleltest // see above
		t.Run(name, func(t *testing.T) {
			listen := slowNetwork(t, configOf(t, databaseURL, nil), toxics)
			destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
				t.Helper()
				f := fixture(t, database.Database(t), nil)
				f.Config["host"], f.Config["port"] = listen.host, listen.port
				return f
			})
		})
	}
}

// A toxic is a fault of toxiproxy's.
type toxic struct{ Kind, Stream, Attributes string }

// networkVariable tells this test program, started again, to be a network: toxiproxy leaves goroutines behind when a
// connection dies, which the suite would take for ours.
const networkVariable = "TRANCHE_TEST_NETWORK"

// A slowOrder says what the network is like.
type slowOrder struct {
	Config map[string]any
	Toxics []toxic
}

type address struct {
	host string
	port int
}

// slowNetwork starts a network in a process of its own, and returns where it listens.
func slowNetwork(t *testing.T, config map[string]any, toxics []toxic) address {
	t.Helper()
	w := employ(t, "TestNetwork", networkVariable, slowOrder{config, toxics})
	port, err := strconv.Atoi(strings.TrimPrefix(w.hear(t, saysDone), saysDone))
	require.NoError(t, err)
	return address{"127.0.0.1", port}
}

// TestNetwork is not a test of its own: it is the network of another.
func TestNetwork(t *testing.T) { //nolint:paralleltest // it is a process of its own
	text := os.Getenv(networkVariable)
	if text == "" {
		t.Skip("only for a process that another test starts")
	}
	var o slowOrder
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	n := throughNetwork(t, o.Config)
	for _, fault := range o.Toxics {
		n.add(fault.Kind, fault.Stream, fault.Attributes)
	}
	say(saysDone + o.Config["port"].(string))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over
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
			run, j, events := p.run(batch.ModelEvents, 0), &journal{}, numbered(60)
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
				run, j, events := p.run(batch.ModelEvents, 0), &journal{}, numbered(20)
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
	run, events := p.run(batch.ModelEvents, 0), numbered(20)
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
		go func() { //nolint:contextcheck // it goes on when the commit's context is over
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

const endAllSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// TestASessionThatTheServerEndsIsOpenedAgain is a failover, or an administrator at work.
func TestASessionThatTheServerEndsIsOpenedAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	run, events := p.run(batch.ModelEvents, 0), numbered(20)
	receipt, err := p.open(p.server).Stage(t.Context(), job(run, 1, &journal{}), reader(t, events...))
	require.NoError(t, err)
	ended := false
	failing := p.server.WithFaults(t, func(_ context.Context, at string) error {
		if at == "record" && !ended {
			ended = true
			p.sql(endAllSessions) //nolint:contextcheck // it is somebody else
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
