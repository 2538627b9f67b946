// Package api serves the HTTP API over the use cases of internal/app. It is the only package that knows HTTP routing.
//
// A handler returns a status, a body and an error; one adapter writes the answer, one function turns errors into the
// envelope that clients know.
package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tranche/internal/app"
	"tranche/internal/telemetry"
)

const (
	requestTimeout  = 30 * time.Second // for the work behind one request
	minCursorKey    = 16               // bytes
	readHeaderLimit = 5 * time.Second
	readLimit       = 30 * time.Second
	writeLimit      = requestTimeout + 10*time.Second // an answer that timed out must still be written
	idleLimit       = 2 * time.Minute
	maxHeaderBytes  = 64 << 10
)

// A Server answers the API's requests. Every field but Ready, Tracing, TemporalUI and TrustedProxies must be set.
type Server struct {
	Exports       *app.Exports
	Runs          *app.Runs
	Backfills     *app.Backfills
	Coverage      *app.Coverage
	Logs          *app.Logs
	Audit         *app.Audit
	Notifications *app.Notifications
	Keys          KeyStore
	Answers       AnswerStore

	// Ready says whether what the process depends on answers: nil, or Outages that may be joined. Nil = always.
	Ready func(ctx context.Context) error
	// Scrape serves /metrics.
	Scrape  http.Handler
	Metrics *telemetry.Metrics
	// Tracing makes a trace of each request; nil = none.
	Tracing *telemetry.Tracing
	Log     *zap.Logger
	Now     func() time.Time

	// CursorKey signs page cursors: 16 bytes or more, the same in all processes that serve one API.
	CursorKey []byte
	// TemporalUI is where runs and backfills link to; zero = no links.
	TemporalUI TemporalUI
	// RateLimit is for each key.
	RateLimit RateLimit
	// TrustedProxies are the networks whose X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For are believed.
	TrustedProxies []netip.Prefix

	limiter *limiter
}

// A handler answers one request of a caller who may make it. A nil body is sent as none.
type handler func(c *gin.Context, who caller) (status int, body any, err error)

// prefixes are the two names of a project that clients use.
var prefixes = []string{"/api/projects/:project_id", "/api/environments/:project_id"}

// Handler returns the API. It panics when CursorKey is too short: whoever guesses the key can forge cursors.
func (s *Server) Handler() http.Handler {
	if len(s.CursorKey) < minCursorKey {
		panic("api: the cursor key is too short")
	}
	s.limiter = newLimiter(s.RateLimit)
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.ForwardedByClientIP = false
	engine.Use(s.observe, s.recover, limitTime)

	engine.NoRoute(s.refuse(notFound("Not found.")))
	engine.NoMethod(func(c *gin.Context) { s.writeError(c, methodNotAllowed(c.Request.Method)) })
	engine.GET("/healthz", s.health)
	engine.GET("/readyz", s.readiness)
	engine.GET("/metrics", gin.WrapH(s.Scrape))
	document := sync.OnceValue(s.document)
	engine.GET("/openapi.json", s.openAPI(document))
	engine.GET("/docs", s.docs(document))
	for _, prefix := range prefixes {
		for _, r := range s.routes() {
			engine.Handle(r.method, prefix+r.path, s.adapt(r))
		}
	}
	return headAsGet(trimSlash(engine))
}

// adapt turns a route's handler into Gin's.
func (s *Server) adapt(r route) gin.HandlerFunc {
	return func(c *gin.Context) {
		who, err := s.authenticate(c, r.scope)
		if err != nil {
			s.writeError(c, err)
			return
		}
		status, body, err := r.serve(c, who)
		if err != nil {
			s.writeError(c, err)
			return
		}
		s.writeJSON(c, status, body)
	}
}

// limitTime bounds the work behind a request.
func limitTime(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

// trimSlash makes one trailing slash optional without a redirect, which clients would follow with a GET.
func trimSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; len(path) > 1 && strings.HasSuffix(path, "/") {
			trimmed := *r
			trimmed.URL = &url.URL{}
			*trimmed.URL = *r.URL
			trimmed.URL.Path = strings.TrimSuffix(path, "/")
			trimmed.URL.RawPath = ""
			r = &trimmed
		}
		next.ServeHTTP(w, r)
	})
}

// headAsGet answers HEAD as GET, of which the HTTP server sends no body: monitors and proxies ask so.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

// NewHTTPServer returns a server for the handler that slow or endless requests cannot hold up.
func NewHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderBytes,
	}
}
