// Package engine runs ClickHouse's engine in this process: libchdb, loaded when it is needed.
//
// It is for tests and trials. A server of ClickHouse is what production has.
package engine

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library are the functions of chdb.h, version 26.
type library struct {
	connect     func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn   func(connection unsafe.Pointer)
	query       func(connection, text unsafe.Pointer, length uintptr, format unsafe.Pointer, formatLength uintptr) unsafe.Pointer
	stream      func(connection, text unsafe.Pointer, length uintptr, format unsafe.Pointer, formatLength uintptr) unsafe.Pointer
	fetch       func(connection, stream unsafe.Pointer) unsafe.Pointer
	cancel      func(connection, stream unsafe.Pointer)
	destroy     func(result unsafe.Pointer)
	buffer      func(result unsafe.Pointer) unsafe.Pointer
	length      func(result unsafe.Pointer) uintptr
	failure     func(result unsafe.Pointer) unsafe.Pointer
	takeSignals func(enabled int32)
}

// An Engine is the library with one folder of data. A process can have one; the functions of C are its own for good.
type Engine struct {
	library library
	path    string
	mu      sync.Mutex // held while a connection opens or closes
	root    *Conn      // keeps the folder open between connections
}

// Open loads the library from a file and opens a folder of data, which may be empty.
func Open(file, folder string) (*Engine, error) {
	handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", file, err)
	}
	e := &Engine{path: folder}
	for name, function := range map[string]any{
		"chdb_connect": &e.library.connect, "chdb_close_conn": &e.library.closeConn, "chdb_query_n": &e.library.query,
		"chdb_stream_query_n": &e.library.stream, "chdb_stream_fetch_result": &e.library.fetch,
		"chdb_stream_cancel_query": &e.library.cancel, "chdb_destroy_query_result": &e.library.destroy,
		"chdb_result_buffer": &e.library.buffer, "chdb_result_length": &e.library.length,
		"chdb_result_error": &e.library.failure, "chdb_set_signal_handlers_enabled": &e.library.takeSignals,
	} {
		purego.RegisterLibFunc(function, handle, name)
	}
	e.library.takeSignals(0) // Go's handlers stay
	if e.root, err = e.Connect(); err != nil {
		return nil, err
	}
	return e, nil
}

// Close closes the folder.
func (e *Engine) Close() { e.root.Close() }

// A Conn is a session: its settings and its current database are its own. It is for one goroutine at a time.
type Conn struct {
	engine *Engine
	handle unsafe.Pointer // chdb_connection*
}

// Connect opens a session.
func (e *Engine) Connect() (*Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	arguments := [][]byte{[]byte("clickhouse\x00"), []byte("--path=" + e.path + "\x00")}
	argv := []*byte{&arguments[0][0], &arguments[1][0], nil}
	handle := e.library.connect(int32(len(arguments)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(arguments)
	if handle == nil {
		return nil, errors.New("the engine opens no session")
	}
	return &Conn{engine: e, handle: handle}, nil
}

// Close ends the session.
func (c *Conn) Close() {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	c.engine.library.closeConn(c.handle)
}

// connection is what chdb.h's functions take.
func (c *Conn) connection() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// Query runs a statement and returns its whole answer.
func (c *Conn) Query(text []byte, format string) ([]byte, error) {
	l := c.engine.library
	name := []byte(format)
	result := l.query(c.connection(), start(text), uintptr(len(text)), start(name), uintptr(len(name)))
	runtime.KeepAlive(text)
	runtime.KeepAlive(name)
	if result == nil {
		return nil, errors.New("the engine gives no result")
	}
	defer l.destroy(result)
	if err := l.errorOf(result); err != nil {
		return nil, err
	}
	return append([]byte(nil), l.bytes(result)...), nil
}

// Stream runs a statement and hands over its answer in pieces, each of them whole in its format. A piece is valid during
// the call only; an error of the call's ends the query.
func (c *Conn) Stream(text []byte, format string, piece func([]byte) error) error {
	l := c.engine.library
	name := []byte(format)
	stream := l.stream(c.connection(), start(text), uintptr(len(text)), start(name), uintptr(len(name)))
	runtime.KeepAlive(text)
	runtime.KeepAlive(name)
	if stream == nil {
		return errors.New("the engine gives no result")
	}
	defer l.destroy(stream)
	if err := l.errorOf(stream); err != nil {
		return err
	}
	for {
		more, err := c.next(stream, piece)
		if err != nil {
			l.cancel(c.connection(), stream)
		}
		if err != nil || !more {
			return err
		}
	}
}

// next fetches one piece.
func (c *Conn) next(stream unsafe.Pointer, piece func([]byte) error) (bool, error) {
	l := c.engine.library
	result := l.fetch(c.connection(), stream)
	if result == nil {
		return false, nil
	}
	defer l.destroy(result)
	if err := l.errorOf(result); err != nil {
		return false, err
	}
	text := l.bytes(result)
	if len(text) == 0 {
		return false, nil
	}
	return true, piece(text)
}

func (l *library) errorOf(result unsafe.Pointer) error {
	text := l.failure(result)
	if text == nil {
		return nil
	}
	n := 0
	for *(*byte)(unsafe.Add(text, n)) != 0 {
		n++
	}
	return errors.New(string(unsafe.Slice((*byte)(text), n)))
}

// bytes is the result's memory, valid until it is destroyed.
func (l *library) bytes(result unsafe.Pointer) []byte {
	n := l.length(result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(l.buffer(result)), n)
}

// start is where C finds a text.
func start(text []byte) unsafe.Pointer {
	if len(text) == 0 {
		return nil
	}
	return unsafe.Pointer(&text[0])
}
