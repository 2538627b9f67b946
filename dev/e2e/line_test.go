package e2e

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A line is a way to a server that can be cut: whoever uses it loses its connections, and finds nobody there.
type line struct {
	t       *testing.T
	to      string
	address string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
}

// lay lays a line to the server.
func lay(t *testing.T, to string) *line {
	t.Helper()
	l := &line{t: t, to: to, address: "127.0.0.1:0", open: map[net.Conn]bool{}}
	l.mend()
	t.Cleanup(l.cut)
	return l
}

// mend makes the server reachable, again under the same address.
func (l *line) mend() {
	l.t.Helper()
	listener, err := new(net.ListenConfig).Listen(l.t.Context(), "tcp", l.address)
	require.NoError(l.t, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.address = listener, listener.Addr().String()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // the line is cut
			}
			go l.carry(near)
		}
	}()
}

// cut ends all connections and refuses new ones.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.listener.Close() // it may be cut already
	for c := range l.open {
		_ = c.Close() // the other side may have been faster
	}
}

func (l *line) carry(near net.Conn) {
	far, err := new(net.Dialer).Dial("tcp", l.to)
	if err != nil {
		_ = near.Close() // nobody is there: that is what the caller learns
		return
	}
	l.mu.Lock()
	l.open[near], l.open[far] = true, true
	l.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // a connection that breaks is the point of it all
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	l.mu.Lock()
	delete(l.open, near)
	delete(l.open, far)
	l.mu.Unlock()
}
