package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
)

// readyTimeout is how long what we depend on may take to answer a probe.
const readyTimeout = 2 * time.Second

// An Outage names a service that we depend on and that does not answer.
type Outage struct {
	Service string // as in "database"; shown to whoever asks
	Err     error  // for the log
}

// Error is for operators.
func (o *Outage) Error() string { return o.Service + ": " + o.Err.Error() }

// Unwrap returns the cause.
func (o *Outage) Unwrap() error { return o.Err }

type healthBody struct {
	Status string   `json:"status"`
	Down   []string `json:"down,omitempty" description:"What does not answer."`
}

// health says that the process runs.
func (s *Server) health(c *gin.Context) {
	s.writeJSON(c, http.StatusOK, healthBody{Status: "ok"})
}

// readiness says whether requests can be served.
func (s *Server) readiness(c *gin.Context) {
	if s.Ready == nil {
		s.writeJSON(c, http.StatusOK, healthBody{Status: "ok"})
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		s.Log.Warn("Not ready.", zap.Error(err))
		s.writeJSON(c, http.StatusServiceUnavailable, healthBody{Status: "unavailable", Down: downIn(err)})
		return
	}
	s.writeJSON(c, http.StatusOK, healthBody{Status: "ok"})
}

// downIn names the services in the joined Outages of err.
func downIn(err error) []string {
	var down []string
	joined, ok := err.(interface{ Unwrap() []error }) // only err itself: an outage may wrap joined causes
	switch outage, isOutage := errors.AsType[*Outage](err); {
	case ok:
		for _, e := range joined.Unwrap() {
			down = append(down, downIn(e)...)
		}
	case isOutage:
		down = append(down, outage.Service)
	default:
		down = append(down, "unknown")
	}
	slices.Sort(down)
	return slices.Compact(down)
}
