package service

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"tranche/api"
	"tranche/batch"
	"tranche/internal/telemetry"
)

// APIOptions say how the API answers.
type APIOptions struct {
	Quotas Quotas
	// CursorSecret is what the signatures of page cursors derive from; the same in all processes that serve one API.
	CursorSecret   []byte
	TemporalUI     api.TemporalUI
	TrustedProxies []netip.Prefix
	// RateLimit is for each key; zero = none.
	RateLimit api.RateLimit
	// Freshness is the objective of every export; zero = batch.DefaultFreshness.
	Freshness batch.Freshness
}

// API wires the API.
func (p Parts) API(o APIOptions) (*api.Server, error) {
	uses := p.UseCases(o.Quotas)
	cursorKey, err := hkdf.Key(sha256.New, o.CursorSecret, nil, "page cursors", sha256.Size)
	if err != nil {
		return nil, err
	}
	if err := p.register(apiCollectors(p.DB, uses.Workflows, o.Freshness)...); err != nil {
		return nil, err
	}
	return &api.Server{
		Exports: uses.Exports, Runs: uses.Runs, Backfills: uses.Backfills, Coverage: uses.Coverage, Logs: uses.Logs, Audit: uses.Audit, Notifications: uses.Notifications, Keys: p.DB, Answers: p.DB,
		Ready: func(ctx context.Context) error {
			return errors.Join(outage("database", p.DB.Ping(ctx)), outage("temporal", uses.Workflows.Healthy(ctx)))
		},
		Scrape: telemetry.Handler(p.Registry), Metrics: p.Metrics, Tracing: p.Tracing, Log: p.Log, Now: time.Now,
		CursorKey: cursorKey, TemporalUI: o.TemporalUI, TrustedProxies: o.TrustedProxies, RateLimit: o.RateLimit,
	}, nil
}

func outage(name string, err error) error {
	if err == nil {
		return nil
	}
	return &api.Outage{Service: name, Err: err}
}
