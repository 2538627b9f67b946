// Command bench measures the whole stack in one process: how long a run without rows takes, how many of them can be done, and whether a thousand
// exports on short schedules are kept up with.
//
//	bench [flags] latency burst load
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"tranche/activities"
	"tranche/dev/stack"
	"tranche/internal/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	profile string
	samples int
	burst   int
	load    load
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile to the file")
	flags.IntVar(&o.samples, "samples", 100, "latency: how many runs of each kind to measure")
	flags.IntVar(&o.burst, "burst", 500, "burst: how many runs to start at once")
	flags.IntVar(&o.load.exports, "exports", 1000, "load: how many exports")
	flags.IntVar(&o.load.rounds, "rounds", 3, "load: how many intervals of each")
	flags.StringVar(&o.load.interval, "interval", "every 5 minutes", "load: the interval of each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.profile != "" {
		file, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, file.Close())
		}()
	}
	measures := map[string]func(context.Context, io.Writer) error{
		"latency": func(ctx context.Context, out io.Writer) error { return latency(ctx, out, o.samples) },
		"burst":   func(ctx context.Context, out io.Writer) error { return burst(ctx, out, o.burst) },
		"load":    o.load.run,
	}
	for _, name := range flags.Args() {
		measure, ok := measures[name]
		if !ok {
			return fmt.Errorf("%q is nothing to measure: give latency, burst or load", name)
		}
		if err := measure(ctx, out); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// withStack measures on a stack of its own. Without settle, runs do not wait for late rows.
func withStack(ctx context.Context, settle bool, measure func(*caller) error) (err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log, err := telemetry.NewLogger(false, "error")
	if err != nil {
		return err
	}
	limits := activities.Embedded()
	if !settle {
		limits.Settle, limits.SettleSubHourly = 0, 0
	}
	s, err := stack.Start(ctx, stack.Options{
		DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", UIListen: "127.0.0.1:0", APIKey: "key-of-the-bench", Log: log, Limits: &limits,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }() //nolint:contextcheck // stopping has limits of its own
	return measure(&caller{Stack: s})
}
