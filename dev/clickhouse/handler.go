// Package clickhouse serves ClickHouse's engine over ClickHouse's HTTP interface, as far as clients that read rows and
// load data need it: statements, parameters, settings, users, formats, streams that break off on errors, KILL QUERY.
//
// The engine is the real one, so types, functions, plans and errors are. Users, the kill of a query and the framing of
// its stream are this package's.
package clickhouse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"tranche/dev/clickhouse/engine"
)

// maxBodyBytes bound a statement with its data.
const maxBodyBytes = 1 << 30

// formatArrow is the format whose pieces must be joined.
const formatArrow = "ArrowStream"

// A Handler answers for one engine.
type Handler struct {
	Engine *engine.Engine
	// Users, by name, all with one password.
	Users    map[string]Profile
	Password string

	mu      sync.Mutex
	running map[string]func() // by query id
}

// A Profile is the settings that sessions of a user begin with. The engine keeps to them: with readonly = 1 it changes no
// setting, with 2 all but that one, and with both it writes nothing.
type Profile map[string]string

// errKilled is what a killed query ends with, in ClickHouse's words.
var errKilled = errors.New("Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)") //nolint:staticcheck // ClickHouse's words

var (
	formatAtEnd  = regexp.MustCompile(`(?is)\sFORMAT\s+([A-Za-z0-9]+)\s*;?\s*$`)
	killed       = regexp.MustCompile(`(?is)^\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*\{(\w+):String\}`)
	selects      = regexp.MustCompile(`(?is)^\s*(SELECT|WITH)\b`)
	inserts      = regexp.MustCompile(`(?is)^\s*INSERT\b`)
	errorNumber  = regexp.MustCompile(`Code: (\d+)`)
	notASetting  = []string{"query", "default_format", "query_id", "client_protocol_version", "compress", "decompress", "session_id", "user", "password", "database", "enable_http_compression", "cancel_http_readonly_queries_on_client_close"}
	errorStatus  = map[string]int{"60": http.StatusNotFound, "81": http.StatusNotFound, "47": http.StatusBadRequest, "62": http.StatusBadRequest, "516": http.StatusForbidden, "497": http.StatusForbidden, "164": http.StatusInternalServerError}
	errForbidden = "Code: 516. DB::Exception: %s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)"
)

// ServeHTTP runs a statement.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		user, password = r.Header.Get("X-Clickhouse-User"), r.Header.Get("X-Clickhouse-Key")
	}
	profile, known := h.Users[user]
	if !known || password != h.Password {
		refuse(w, fmt.Errorf(errForbidden, user))
		return
	}
	parameters := r.URL.Query()
	text, err := statement(r, parameters)
	if err != nil {
		refuse(w, err)
		return
	}
	if found := killed.FindSubmatch(text); found != nil {
		h.kill(parameters.Get("param_" + string(found[1])))
		return
	}
	c, err := h.Engine.Connect()
	if err != nil {
		refuse(w, err)
		return
	}
	defer c.Close()
	if err := prepare(c, profile, parameters); err != nil {
		refuse(w, err)
		return
	}
	h.answer(w, r, c, text, parameters)
}

// statement is the query parameter and the body, one after the other.
func statement(r *http.Request, parameters url.Values) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes))
	if err != nil {
		return nil, err
	}
	text := []byte(parameters.Get("query"))
	if len(text) > 0 && len(body) > 0 {
		text = append(text, '\n')
	}
	return append(text, body...), nil
}

// prepare gives the session its database, its user's settings, then those of the request, and parameters.
func prepare(c *engine.Conn, profile Profile, parameters url.Values) error {
	if database := parameters.Get("database"); database != "" {
		if _, err := c.Query([]byte("USE `"+database+"`"), "Null"); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(profile)) {
		if err := set(c, name, profile[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if slices.Contains(notASetting, name) {
			continue
		}
		if err := set(c, name, parameters.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

func set(c *engine.Conn, name, value string) error {
	_, err := c.Query([]byte("SET "+name+" = "+quoted(value)), "Null")
	return err
}

func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// answer runs the statement.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, c *engine.Conn, text []byte, parameters url.Values) {
	format := parameters.Get("default_format")
	if format == "" {
		format = "TabSeparated"
	}
	if inserts.Match(text) {
		if err := insert(c, text); err != nil {
			refuse(w, err)
		}
		return
	}
	if found := formatAtEnd.FindSubmatchIndex(text); found != nil {
		format, text = string(text[found[2]:found[3]]), text[:found[0]]
	}
	w.Header().Set("X-ClickHouse-Format", format)
	out := sink{Writer: w, native: format == "Native" && parameters.Get("client_protocol_version") != ""}
	if !selects.Match(text) {
		whole(w, out, c, text, format)
		return
	}
	h.stream(w, r, out, c, text, format, parameters.Get("query_id"))
}

// whole answers at once.
func whole(w http.ResponseWriter, out sink, c *engine.Conn, text []byte, format string) {
	answer, err := c.Query(text, format)
	if err != nil {
		refuse(w, err)
		return
	}
	if err := out.write(answer); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// stream answers as rows come. An error after the first row breaks the connection off, with the error's text before.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, out sink, c *engine.Conn, text []byte, format, id string) {
	ended := h.register(id)
	defer h.forget(id)
	pieces := 0
	var rows *ipc.Writer
	err := c.Stream(text, format, func(piece []byte) error {
		pieces++
		select {
		case <-ended:
			return errKilled
		case <-r.Context().Done():
			return r.Context().Err()
		default:
		}
		if format == formatArrow {
			return join(w, &rows, piece)
		}
		return out.write(piece)
	})
	switch {
	case err != nil && pieces == 0:
		refuse(w, err)
	case err != nil:
		_, _ = io.WriteString(w, err.Error()+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case pieces == 0:
		// Streams of no rows have no head.
		whole(w, out, c, text, format)
	case rows != nil:
		if err := rows.Close(); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// join writes the batches of a stream into one that goes on.
func join(w io.Writer, rows **ipc.Writer, piece []byte) error {
	reader, err := ipc.NewReader(bytes.NewReader(piece))
	if err != nil {
		return err
	}
	defer reader.Release()
	if *rows == nil {
		*rows = ipc.NewWriter(w, ipc.WithSchema(reader.Schema()), ipc.WithLZ4())
	}
	for reader.Next() {
		if err := (*rows).Write(reader.RecordBatch()); err != nil {
			return err
		}
	}
	return reader.Err()
}

// register notes a query that can be killed.
func (h *Handler) register(id string) <-chan struct{} {
	ended := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		h.running = map[string]func(){}
	}
	h.running[id] = sync.OnceFunc(func() { close(ended) })
	return ended
}

func (h *Handler) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, id)
}

func (h *Handler) kill(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if end, ok := h.running[id]; ok {
		end()
	}
}

// refuse answers an error as ClickHouse does.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if found := errorNumber.FindStringSubmatch(err.Error()); found != nil {
		w.Header().Set("X-ClickHouse-Exception-Code", found[1])
		if s, ok := errorStatus[found[1]]; ok {
			status = s
		}
	}
	http.Error(w, err.Error(), status)
}
