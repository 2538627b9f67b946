package clickhouse

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

const (
	connectTimeout = 10 * time.Second
	// killTimeout bounds the request that ends a query on the server.
	killTimeout = 5 * time.Second
	// idleTimeout is below that of ClickHouse's, so that we and not the server close a connection that nobody uses.
	idleTimeout = 2 * time.Second
	// maxMessageBytes of what the server says about an error are read.
	maxMessageBytes = 16 << 10
	// maxAnswerBytes bound the answer to a query for numbers.
	maxAnswerBytes = 1 << 20
)

// A client speaks ClickHouse's HTTP interface.
type client struct {
	http     *http.Client
	address  address
	settings map[string]string
	// first is the replica that answered last. All keep to it: replicas lag behind each other, and a count on one is
	// not a count on another.
	first atomic.Int64
}

func newClient(a address, timeout time.Duration, transport http.RoundTripper) *client {
	if transport == nil {
		dialer := &net.Dialer{Timeout: connectTimeout}
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: connectTimeout,
			IdleConnTimeout: idleTimeout, DisableCompression: true,
			TLSClientConfig: &tls.Config{RootCAs: a.trusted, MinVersion: tls.VersionTLS12},
		}
	}
	// The password goes nowhere but to the hosts of the address.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &client{http: &http.Client{Transport: transport, CheckRedirect: stay}, address: a, settings: map[string]string{
		"max_execution_time": strconv.Itoa(max(int(timeout.Seconds()), 1)),
		// A server whose client is gone works on for nobody, unless it is told.
		"cancel_http_readonly_queries_on_client_close": "1",
		"session_timezone": "UTC",
		// A recount is for what has changed.
		"use_query_cache": "0",
	}}
	for _, name := range overflows {
		c.settings[name] = "throw"
	}
	for name, value := range a.settings {
		c.settings[name] = value
	}
	return c
}

// overflows say what becomes of a query that meets a limit. Where the user's profile says break, it would give out a part of
// the rows as if they were all, so each query says otherwise.
var overflows = []string{
	"read_overflow_mode", "read_overflow_mode_leaf", "result_overflow_mode", "timeout_overflow_mode", "set_overflow_mode",
	"group_by_overflow_mode", "sort_overflow_mode", "distinct_overflow_mode", "transfer_overflow_mode",
}

// longText is the length of statements, in bytes, from which the server's limits of their size are raised.
const longText = 64 << 10

// sizes are limits for statements that are longer than the server takes by default: those with long lists.
var sizes = map[string]string{"max_query_size": "4194304", "max_ast_elements": "1000000", "max_expanded_ast_elements": "2000000"}

func (c *client) close() { c.http.CloseIdleConnections() }

// run sends a statement to the first replica that takes it. The caller closes the answer's body. The id is the query's.
func (c *client) run(ctx context.Context, s statement, settings map[string]string) (*http.Response, sent, error) {
	n := int64(len(c.address.replicas))
	first := c.first.Load()
	var last error
	for i := range n {
		at := (first + i) % n
		q := sent{id: uuid.NewString(), replica: c.address.replicas[at]}
		response, err := c.send(ctx, q, s, settings)
		if err == nil {
			c.first.Store(at)
			return response, q, nil
		}
		if last = err; ctx.Err() != nil || batch.CodeOf(err) != batch.CodeUnavailable {
			break
		}
	}
	return nil, sent{}, last
}

// A sent statement is a query that a server works on.
type sent struct {
	id, replica string
	last        bool // nobody needs the connection after it
}

// send posts the statement. An answer that is returned is a good one so far.
func (c *client) send(ctx context.Context, q sent, s statement, settings map[string]string) (*http.Response, error) {
	parameters := url.Values{"query_id": {q.id}, "database": {c.address.database}}
	lists := []map[string]string{c.settings, settings}
	if len(s.text) > longText {
		lists = append(lists, sizes)
	}
	for _, list := range lists {
		for name, value := range list {
			parameters.Set(name, value)
		}
	}
	for name, value := range s.values {
		parameters.Set("param_"+name, value)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.replica+"/?"+parameters.Encode(), strings.NewReader(s.text))
	if err != nil {
		return nil, batch.Errorf(batch.CodeConfig, nil, "the address of the ClickHouse source is not valid")
	}
	request.Close = q.last
	if c.address.user != "" {
		request.Header.Set("X-Clickhouse-User", c.address.user)
		request.Header.Set("X-Clickhouse-Key", c.address.password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, broken(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxMessageBytes))
	if err != nil {
		return nil, broken(ctx, err)
	}
	return nil, refused(response, text)
}

// kill ends a query on the server that may still work on it. Nobody is left to tell when that fails, and the server ends
// it too when it finds that we hung up, or at its time limit.
func (c *client) kill(ctx context.Context, q sent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	s := statement{text: "KILL QUERY WHERE query_id = {p0:String} ASYNC", values: map[string]string{"p0": q.id}}
	response, err := c.send(ctx, sent{id: uuid.NewString(), replica: q.replica, last: true}, s, nil)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBytes))
	_ = response.Body.Close()
}

// integers runs a statement of one column with few rows, and leaves out nulls.
func (c *client) integers(ctx context.Context, s statement) ([]int64, error) {
	response, q, err := c.run(ctx, s.format("TabSeparated"), nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		c.kill(ctx, q)
		return nil, broken(ctx, err)
	}
	var all []int64
	for line := range bytes.Lines(text) {
		number := strings.TrimSuffix(string(line), "\n")
		if number == `\N` {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, midway(text, fmt.Errorf("a number was expected: %w", err))
		}
		all = append(all, n)
	}
	return all, nil
}

// broken is an error of the connection. The end of ctx stays as it is, whatever it made fail.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if certificate(err) {
		return batch.Errorf(batch.CodeConfig, err, "the certificate of the ClickHouse source is not one that we trust")
	}
	// The URL in the text has the settings and the values in it.
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return batch.Errorf(batch.CodeUnavailable, err, "%s", sentences[batch.CodeUnavailable])
}
