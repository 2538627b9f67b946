package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"tranche/api"
	"tranche/internal/service"
)

func apiCommand(getenv func(string) string) *cobra.Command {
	return &cobra.Command{
		Use: "api", Short: "Serve the API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_MASTER_KEYS", "TRANCHE_CURSOR_KEY")
			if err != nil {
				return err
			}
			return runAPI(cmd.Context(), c)
		},
	}
}

func runAPI(ctx context.Context, c config) (err error) {
	p, err := open(ctx, c, "api")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if c.SourceURL != "" {
		source, err := service.OpenSource(c.SourceURL, p.Models)
		if err != nil {
			return err
		}
		defer source.Close()
		p.Source = source
	}
	server, err := p.API(service.APIOptions{
		Quotas: service.Quotas{
			Backfills: c.BackfillsPerTeam, BackfillConcurrency: c.BackfillConcurrency, MostBackfillConcurrency: c.MostBackfillConcurrency,
		},
		CursorSecret: []byte(c.CursorKey), Freshness: c.Freshness, TrustedProxies: c.TrustedProxies,
		RateLimit:  api.RateLimit{PerMinute: c.RateLimit},
		TemporalUI: api.TemporalUI{Base: c.TemporalUIURL, Namespace: c.TemporalNamespace},
	})
	if err != nil {
		return err
	}
	return serve(ctx, p.Log, c.Listen, server.Handler(), shutdownTimeout)
}

// shutdownTimeout is how long requests under way may take when the process stops.
const shutdownTimeout = 8 * time.Second

// serve serves handler until ctx ends, then lets requests under way finish for as long as patience lasts, and cuts off the
// others. It leaves no goroutine behind.
func serve(ctx context.Context, log *zap.Logger, address string, handler http.Handler, patience time.Duration) error {
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
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err = server.Shutdown(stopping); err != nil {
		err = errors.Join(fmt.Errorf("requests under way are cut off: %w", err), server.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
