package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"tranche/api"
	"tranche/internal/service"
	"tranche/internal/telemetry"
)

func apiCommand(getenv func(string) string) *cobra.Command {
	return &cobra.Command{
		Use: "api", Short: "Serve the API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_MASTER_KEYS")
			if err != nil {
				return err
			}
			return runAPI(cmd.Context(), c)
		},
	}
}

func runAPI(ctx context.Context, c config) (err error) {
	p, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	uses := p.UseCases(service.Quotas{Backfills: c.BackfillsPerTeam, BackfillConcurrency: c.BackfillConcurrency})
	p.registry.MustRegister(telemetry.NewLagCollector(p.DB, time.Now))
	server := &api.Server{
		Exports: uses.Exports, Runs: uses.Runs, Backfills: uses.Backfills, Logs: uses.Logs,
		Keys: p.DB, Projects: p.DB, Plugins: p.Plugins, Metrics: p.Metrics, Registry: p.registry, Log: p.Log,
		CursorKey: cursorKey(c), TrustedProxies: c.TrustedProxies,
		TemporalUI: c.TemporalUIURL, TemporalNamespace: c.TemporalNamespace,
		Ready: map[string]func(context.Context) error{"database": p.DB.Ping, "temporal": uses.Workflows.Healthy}, Now: time.Now,
	}
	return serve(ctx, p.Log, c.Listen, server.Handler())
}

// cursorKey signs the cursors of pages: every API process must have the same one.
func cursorKey(c config) []byte {
	material := "cursor:" + c.CursorKey
	if c.CursorKey == "" {
		material = "derived cursor:" + string(c.MasterKeys[0].Key)
	}
	sum := sha256.Sum256([]byte(material))
	return sum[:]
}

// shutdownTimeout is how long requests under way may take when the process stops.
const shutdownTimeout = 8 * time.Second

// serve serves handler until ctx ends, then lets requests under way finish.
func serve(ctx context.Context, log *zap.Logger, address string, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	server := api.NewHTTPServer(handler)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("Serving.", zap.Stringer("address", listener.Addr()))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return server.Shutdown(stopping)
}
