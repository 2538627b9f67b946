package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"tranche/dev/temporal"
	"tranche/internal/telemetry"
	"tranche/workflows"
)

// temporalCommand is the word that asks for Temporal alone.
const temporalCommand = "temporal"

// temporalOptions are the flags of the command.
type temporalOptions struct {
	temporal.Options
	logLevel string
}

// parseTemporal reads what stands behind the command's name.
func parseTemporal(args []string, out io.Writer) (temporalOptions, error) {
	o := temporalOptions{Options: temporal.Options{SearchAttributes: workflows.SearchAttributes()}}
	var stores temporal.Stores
	flags := flag.NewFlagSet("tranche-dev temporal", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by the caller
	flags.StringVar(&o.Dir, "data-dir", ".temporal", "directory for its state, in SQLite")
	flags.StringVar(&stores.Main, "database", "", "keep its state in this PostgreSQL in place of the directory: `URL` of a database of its own")
	flags.StringVar(&stores.Visibility, "visibility-database", "", "with --database: `URL` of a second one, for its lists")
	flags.IntVar(&o.Port, "port", 7233, "port on 127.0.0.1 for the service; 0 = any that is free")
	flags.StringVar(&o.UIListen, "ui-listen", "127.0.0.1:8233", "address of its Web UI; port 0 = any that is free")
	flags.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error; logs go to stderr")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(out, "tranche-dev temporal runs a Temporal server with its Web UI, for trying out the service; it has no access control:")
		flags.SetOutput(out)
		flags.PrintDefaults()
	}
	if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if (stores.Main == "") != (stores.Visibility == "") {
		return o, errors.New("--database and --visibility-database go together")
	}
	if stores.Main != "" {
		o.Stores = &stores
	}
	if o.Port < 0 || o.Port > 65535 {
		return o, errors.New("--port must be from 0 to 65535")
	}
	return o, nil
}

// runTemporal serves until ctx ends.
func runTemporal(ctx context.Context, o temporalOptions, out io.Writer) (err error) {
	if o.Logger, err = telemetry.NewLogger(false, o.logLevel); err != nil {
		return err
	}
	s, err := temporal.Start(ctx, o.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if _, err := fmt.Fprintf(out, "ready temporal=%s ui=%s namespace=%s\n", s.HostPort(), s.UIURL(), temporal.Namespace); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
