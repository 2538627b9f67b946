// Package client calls Tranche's HTTP API as its users do: typed answers beside the exact bodies, typed errors, retries of
// what may be repeated, and lists that turn their own pages. It knows the API from outside only; a test holds its types
// against the API's own description.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/internal/secret"
)

const (
	// DefaultTimeout is longer than the API takes for any answer.
	DefaultTimeout = 45 * time.Second
	// maxAnswer is how many bytes of an answer are read.
	maxAnswer = 64 << 20

	idempotencyHeader = "Idempotency-Key"
	requestIDHeader   = "X-Request-Id"
)

// A Client calls the API about one project. Base, Project and Key must be set.
type Client struct {
	Base    *url.URL // scheme and host, and a path if the API is below one
	Project int64
	Key     secret.String
	// Agent is how the client introduces itself.
	Agent string
	// Timeout is for one attempt; zero = DefaultTimeout.
	Timeout time.Duration
	// Retries say how often and how patiently requests are repeated; zero = DefaultRetries.
	Retries Retries
	// Transport carries requests; nil = http.DefaultTransport.
	Transport http.RoundTripper
}

// ParseBase reads the address of an API.
func ParseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("must be a URL that begins with http:// or https://")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must have neither credentials nor a query")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// A Body is an answer: what we understand of it, and exactly what the API said.
type Body[T any] struct {
	Value T
	Raw   json.RawMessage
	ETag  string
}

// A call is one request to the API.
type call struct {
	method string
	path   string // below the base
	query  url.Values
	body   any // nil = none
	// match is an ETag: the request is refused when the thing has another one by now.
	match string
	// once: the API serves the request once however often it is sent, by an idempotency key.
	once bool
	// again: the request may be sent again when nobody knows whether it was served.
	again bool
}

// do makes the request, again and again if need be, and reads its answer.
func (c *Client) do(ctx context.Context, r call) (Body[json.RawMessage], error) {
	var text []byte
	if r.body != nil {
		var err error
		if text, err = json.Marshal(r.body); err != nil {
			return Body[json.RawMessage]{}, fmt.Errorf("encode the request: %w", err)
		}
	}
	key := ""
	if r.once {
		key = uuid.NewString()
	}
	retries := c.Retries.orDefault()
	for attempt := 1; ; attempt++ {
		answer, err := c.attempt(ctx, r, text, key)
		if err == nil || ctx.Err() != nil {
			return answer, errors.Join(err, context.Cause(ctx))
		}
		wait, again := retries.after(attempt, r, err)
		if !again {
			return answer, err
		}
		if err := sleep(ctx, wait); err != nil {
			return answer, err
		}
	}
}

// attempt sends the request once.
func (c *Client) attempt(ctx context.Context, r call, body []byte, key string) (answer Body[json.RawMessage], err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := c.request(ctx, r, body, key)
	if err != nil {
		return answer, err
	}
	transport := http.Client{
		Transport: c.Transport,
		// The API redirects nobody: whoever does is not the API, and gets no key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := transport.Do(request)
	if err != nil {
		return answer, &UnreachableError{Base: c.Base.String(), Err: bare(err), unsent: neverSent(err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer, &UnreachableError{Base: c.Base.String(), Err: fmt.Errorf("the answer broke off: %w", err)}
	}
	if len(text) > maxAnswer {
		return answer, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return answer, errorOf(response, text)
	}
	if len(text) > 0 && !json.Valid(text) {
		return answer, &Error{Status: response.StatusCode, Detail: fmt.Sprintf("%s does not answer as the API does: is the URL right?", c.Base)}
	}
	return Body[json.RawMessage]{Value: text, Raw: text, ETag: response.Header.Get("ETag")}, nil
}

func (c *Client) request(ctx context.Context, r call, body []byte, key string) (*http.Request, error) {
	address := *c.Base
	address.Path += r.path
	address.RawQuery = r.query.Encode()
	request, err := http.NewRequestWithContext(ctx, r.method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	if c.Agent != "" {
		request.Header.Set("User-Agent", c.Agent)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.match != "" {
		request.Header.Set("If-Match", r.match)
	}
	if key != "" {
		request.Header.Set(idempotencyHeader, key)
	}
	return request, nil
}

// bare is the cause of a failed request, without the address and the words that net/http puts around it.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// neverSent says whether the request cannot have reached anybody.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// sleep waits, or returns why it was woken.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// typed decodes an answer.
func typed[T any](answer Body[json.RawMessage], err error) (Body[T], error) {
	if err != nil {
		return Body[T]{}, err
	}
	body := Body[T]{Raw: answer.Raw, ETag: answer.ETag}
	if len(answer.Raw) == 0 {
		return body, nil
	}
	if err := json.Unmarshal(answer.Raw, &body.Value); err != nil {
		return body, fmt.Errorf("the API answered what this client cannot read; are their versions far apart? %w", err)
	}
	return body, nil
}

// path is an address below the client's project.
func (c *Client) path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/api/projects/" + strconv.FormatInt(c.Project, 10) + "/batch_exports")
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, again: true}
}
