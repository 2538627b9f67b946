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
	maxIdleConns = 8
	// Requests with larger bodies ask before they send them. A store that does not know the question is not waited for.
	expectFrom    = 64 << 10
	expectTimeout = time.Second
	// writeBytes is how much is written at once: the line must take that much within idleTimeout.
	writeBytes = 32 << 10
)

// newHTTPClient makes a client that refuses to connect where the guard does not let it, whatever a name resolves to at
// that moment, and that follows no redirects: a signature is good for one host.
func (s Server) newHTTPClient(patience patience) *http.Client {
	dialer := &net.Dialer{Timeout: patience.dial}
	if s.Guard != nil {
		dialer.Control = s.Guard.Control
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &impatientConn{Conn: conn, idle: patience.idle}, nil
			},
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: patience.dial,
			MaxIdleConnsPerHost: maxIdleConns,
			IdleConnTimeout:     patience.idle,
			// A store that refuses a part may hang up before it has read it: it is asked first.
			ExpectContinueTimeout: expectTimeout,
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
