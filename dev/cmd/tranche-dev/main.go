// Command tranche-dev runs all of Tranche on a laptop: API, worker, Temporal with its Web UI, and events in DuckDB, in
// one process over one data directory.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"tranche/batch"
	"tranche/dev/stack"
	"tranche/internal/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	serve, err := parseCommand(os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "tranche-dev: %v; see --help\n", err)
		os.Exit(2)
	}
	if err := serve(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tranche-dev:", err)
		os.Exit(1)
	}
}

// parseCommand finds out what the command line asks for: everything, or Temporal alone.
func parseCommand(args []string, out io.Writer) (serve func(context.Context, io.Writer) error, err error) {
	if len(args) > 0 && args[0] == temporalCommand {
		o, err := parseTemporal(args[1:], out)
		return func(ctx context.Context, out io.Writer) error { return runTemporal(ctx, o, out) }, err
	}
	o, err := parse(args, out)
	return func(ctx context.Context, out io.Writer) error { return run(ctx, o, out) }, err
}

// options are the flags.
type options struct {
	stack.Options
	demo, once bool
	logLevel   string
}

// parse reads the command line, and explains it on out when asked to. Anything that is not a flag is refused.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("tranche-dev", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by the caller
	flags.StringVar(&o.DataDir, "data-dir", ".tranche-dev", "directory for all state; exported files go to its folder exports")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8000", "address of the API; port 0 = any that is free")
	flags.StringVar(&o.UIListen, "ui-listen", "127.0.0.1:8233", "address of Temporal's Web UI; port 0 = any that is free")
	flags.StringVar(&o.APIKey, "api-key", "", "API key of organization 1, project 1; empty = a new one")
	flags.Func("load", "load events from `FILE` (Parquet, .jsonl, .jsonl.gz, CSV) before serving; repeatable", func(v string) error {
		o.Load = append(o.Load, v)
		return nil
	})
	flags.Func("load-model", "load rows of another model from `MODEL=FILE`, such as persons=persons.jsonl; repeatable", func(v string) error {
		model, file, ok := strings.Cut(v, "=")
		if !ok || model == "" || file == "" {
			return errors.New("it must be MODEL=FILE")
		}
		o.LoadModels = append(o.LoadModels, stack.ModelFile{Model: batch.Model(model), File: file})
		return nil
	})
	flags.StringVar(&o.ModelsFile, "models", "", "YAML `FILE` with the tables and columns of models, and with models of your own")
	flags.StringVar(&o.SourceURL, "source", "", "read events from a clickhouse:// or postgres:// `URL` in place of the loaded files")
	flags.StringVar(&o.SourceTable, "source-table", "events", "table with the events at --source, optionally with its schema")
	flags.BoolVar(&o.demo, "demo", false, "make events, export them by the hour to files, and print what was delivered")
	flags.BoolVar(&o.once, "once", false, "with --demo: exit when all is delivered")
	flags.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn or error; logs go to stderr")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(out, "tranche-dev runs all of Tranche in one process, over one data directory:")
		fmt.Fprintln(out, "\nAvailable Commands:\n  temporal    Run a Temporal server alone, for trying out the service")
		fmt.Fprintln(out, "\nFlags, without a command:")
		flags.SetOutput(out)
		flags.PrintDefaults()
	}
	if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.once && !o.demo {
		return o, errors.New("--once goes with --demo")
	}
	if o.SourceURL != "" && (o.demo || len(o.Load)+len(o.LoadModels) > 0) {
		return o, errors.New("--source goes with none of --demo, --load and --load-model, whose rows are loaded here")
	}
	return o, nil
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.Log, err = telemetry.NewLogger(false, o.logLevel); err != nil {
		return err
	}
	// The names that OpenTelemetry gives its settings, so that a laptop needs no others.
	o.Tracing, err = telemetry.NewTracing(ctx, telemetry.TraceOptions{
		Endpoint: cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")),
		Ratio:    1, Process: "tranche-dev", Log: o.Log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopTracing(o.Tracing)) }()
	var d *demo
	if o.demo {
		if d, err = newDemo(); err != nil {
			return err
		}
		o.Load = append(o.Load, d.file)
	}
	s, err := stack.Start(ctx, o.Options)
	if s != nil {
		defer func() { err = errors.Join(err, s.Stop()) }()
	}
	if d != nil {
		err = errors.Join(err, d.forget())
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "ready api=%s ui=%s key=%s\n", s.URL(), s.UIURL(), s.Key); err != nil {
		return err
	}
	if d != nil {
		if err := d.run(ctx, s, out); err != nil || o.once {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.Failed():
		return err
	}
}

// stopTracing sends what waits.
func stopTracing(t *telemetry.Tracing) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return t.Stop(ctx)
}
