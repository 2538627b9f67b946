package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/internal/auth"
)

// A KeyStore knows keys and projects. What it does not find is batch.ErrNotFound.
type KeyStore interface {
	KeyByHash(ctx context.Context, hash string) (auth.Key, error)
	TouchKey(ctx context.Context, id uuid.UUID, at time.Time) error
	Project(ctx context.Context, id int64) (auth.Project, error)
}

// A caller is who makes a request, and the project that it is about.
type caller struct {
	userID int64
	teamID int64
	// organizationID is the project's.
	organizationID int64
	zone           *time.Location // the project's, for times without an offset
	makes          uuid.UUID      // the id that what the request makes gets; zero = any new one
	models         []string       // of the server
}

// touchEvery is how often the last use of a key is recorded at most.
const touchEvery = time.Minute

// authenticate finds out who calls, and whether they may: first the key, then its scope, then the project.
func (s *Server) authenticate(c *gin.Context, scope auth.Scope) (caller, error) {
	ctx := c.Request.Context()
	key, err := s.key(ctx, c.GetHeader("Authorization"))
	if err != nil {
		return caller{}, err
	}
	if wait := s.limiter.take(key.ID, s.Now()); wait > 0 {
		return caller{}, throttled(wait)
	}
	if !key.Allows(scope) {
		return caller{}, forbidden(fmt.Sprintf("API key missing required scope '%s'", scope))
	}
	project, err := s.project(ctx, c.Param("project_id"))
	if err != nil {
		return caller{}, err
	}
	if project.OrganizationID != key.OrganizationID {
		return caller{}, forbidden("You do not have permission to perform this action.")
	}
	s.sign(c, key)
	return caller{userID: key.UserID, teamID: project.ID, organizationID: project.OrganizationID, zone: zoneOf(project), models: s.Exports.Models.Names()}, nil
}

// key returns the usable key that the header carries.
func (s *Server) key(ctx context.Context, header string) (auth.Key, error) {
	scheme, secret, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return auth.Key{}, unauthorized("not_authenticated", "Authentication credentials were not provided.")
	}
	bad := unauthorized("authentication_failed", "Incorrect authentication credentials.")
	secret = strings.TrimSpace(secret)
	if auth.CheckSecret(secret) != nil {
		return auth.Key{}, bad
	}
	key, err := s.Keys.KeyByHash(ctx, auth.Hash(secret))
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return auth.Key{}, bad
	case err != nil:
		return auth.Key{}, err
	}
	now := s.Now().UTC()
	if !key.Usable(now) {
		return auth.Key{}, bad
	}
	if key.LastUsedAt == nil || now.Sub(*key.LastUsedAt) >= touchEvery {
		if err := s.Keys.TouchKey(ctx, key.ID, now); err != nil {
			s.Log.Warn("The last use of an API key is not recorded.", zap.Stringer("key_id", key.ID), zap.Error(err))
		}
	}
	return key, nil
}

// project returns the project that the path names.
func (s *Server) project(ctx context.Context, text string) (auth.Project, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(id, 10) != text {
		return auth.Project{}, notFound("Project not found.")
	}
	project, err := s.Keys.Project(ctx, id)
	if errors.Is(err, batch.ErrNotFound) {
		return auth.Project{}, notFound("Project not found.")
	}
	return project, err
}

// zoneOf is the project's time zone, or UTC.
func zoneOf(p auth.Project) *time.Location {
	zone, err := batch.LoadLocation(p.Timezone)
	if err != nil {
		return time.UTC // the zone only reads times without an offset; UTC is what such clients mean otherwise
	}
	return zone
}
