package api

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"tranche/internal/telemetry"
)

const (
	requestIDHeader = "X-Request-Id"
	requestIDKey    = "request_id"
	maxRequestID    = 128
	noRoute         = "unmatched" // the route of paths that we do not serve
)

// observe gives the request an id, and records it in the log and the metrics when it is answered. Neither headers nor
// bodies nor queries are logged: they may hold secrets.
func (s *Server) observe(c *gin.Context) {
	start := time.Now()
	id := c.GetHeader(requestIDHeader)
	if !validRequestID(id) {
		id = uuid.NewString()
	}
	c.Set(requestIDKey, id)
	c.Header(requestIDHeader, id)
	end := s.trace(c, id)
	c.Next()
	end()

	took, route := time.Since(start), routeOf(c)
	method := methodLabel(c.Request.Method)
	s.Metrics.RequestServed(method, route, c.Writer.Status(), took)
	level := zap.InfoLevel
	if c.Param("project_id") == "" {
		level = zap.DebugLevel // probes and scrapes
	}
	s.Log.Log(level, "Answered a request.", append(whose(c),
		zap.String("method", method), zap.String("route", route),
		zap.Int("status", c.Writer.Status()), zap.Float64("ms", float64(took.Microseconds())/1000))...)
}

// whose is what every line about a request says: which one it is, and what of whom it is about. Only ids are said, whatever
// else a path holds.
func whose(c *gin.Context) []zap.Field {
	fields := []zap.Field{zap.String("request_id", c.GetString(requestIDKey)), telemetry.TraceID(c.Request.Context())}
	if team, err := strconv.ParseInt(c.Param("project_id"), 10, 64); err == nil {
		fields = append(fields, zap.Int64("team_id", team))
	}
	for _, named := range []struct{ param, name string }{{"id", "batch_export_id"}, {"run_id", "run_id"}, {"backfill_id", "backfill_id"}} {
		if id, ok := parseID(c.Param(named.param)); ok {
			fields = append(fields, zap.Stringer(named.name, id))
		}
	}
	return fields
}

// trace makes the request a span, in the client's trace if it sent one. What the request starts belongs to it: workflows,
// their activities, their calls of sources and destinations. Probes and scrapes are none.
func (s *Server) trace(c *gin.Context, id string) (end func()) {
	if !s.Tracing.On() || c.Param("project_id") == "" {
		return func() {}
	}
	method, route := methodLabel(c.Request.Method), routeOf(c)
	ctx, span := s.Tracing.Tracer().Start(telemetry.WithTraceOf(c.Request.Context(), c.Request.Header), method+" "+route,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("http.route", route), attribute.String("tranche.request_id", id)))
	c.Request = c.Request.WithContext(ctx)
	return func() {
		status := c.Writer.Status()
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// recover answers 500 after a panic.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			panic(cause)
		default:
			s.Log.Error("A request panicked.", append(whose(c), zap.String("route", routeOf(c)), zap.ByteString("stack", debug.Stack()))...)
			c.Abort()
			if !c.Writer.Written() {
				s.writeError(c, panicked(cause))
			}
		}
	}()
	c.Next()
}

// panicked makes an error of what a panic was given.
func panicked(cause any) error {
	if err, ok := cause.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return errors.New("panic: " + fmt.Sprint(cause))
}

// validRequestID accepts what is safe to log and to send back.
func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, b := range []byte(id) {
		alphanumeric := 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
		if !alphanumeric && b != '-' && b != '_' && b != '.' {
			return false
		}
	}
	return true
}

// routeOf is the template of the route: its values are few.
func routeOf(c *gin.Context) string {
	if route := c.FullPath(); route != "" {
		return route
	}
	return noRoute
}

// methodLabel keeps methods that clients invent out of the metrics.
func methodLabel(method string) string {
	known := []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodHead, http.MethodOptions,
	}
	if slices.Contains(known, method) {
		return method
	}
	return "other"
}
