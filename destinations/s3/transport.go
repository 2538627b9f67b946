package s3

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Limits of connections to stores.
const (
	dialTimeout = 10 * time.Second
	// idleTimeout is how long a connection may neither take nor give a byte while we wait for it. It has no other limit
	// of time: a large part may take long on a slow line.
	idleTimeout  = 30 * time.Second
	maxIdleConns = 8
	// writeBytes is how much is written at once: the line must take that much within idleTimeout.
	writeBytes = 32 << 10
)

// newHTTPClient makes a client that refuses to connect where the guard does not let it, whatever a name resolves to at
// that moment, and that follows no redirects: a signature is good for one host.
func (s Server) newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if s.Guard != nil {
		dialer.Control = s.Guard.Control
	}
	idle := s.idle
	if idle == 0 {
		idle = idleTimeout
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &impatientConn{Conn: conn, idle: idle}, nil
			},
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots},
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: maxIdleConns,
			IdleConnTimeout:     idle,
			// No proxy: the guard would see the proxy's address only.
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An impatientConn gives up when nothing moves. Half-open connections would keep a request for ever.
type impatientConn struct {
	net.Conn
	idle time.Duration
}

// Read is the net.Conn's.
func (c *impatientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write is the net.Conn's. What is written gives whoever waits for the answer new patience.
func (c *impatientConn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(len(p), written+writeBytes)])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}
