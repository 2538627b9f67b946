// Command export exports the same events with Tranche and with DuckDB's own COPY, each in a process of its own, and
// prints what each took. CPU seconds are the measure: unlike the time on the clock they hardly depend on what else the
// machine does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "export:", err)
		os.Exit(1)
	}
}

// Options are what is measured, and how.
type options struct {
	rows    int64
	events  string
	dir     string
	only    string
	repeat  int
	threads int
	memory  string
	limit   time.Duration
	profile string
	to      string
	child   string // the measurement that this process makes; "" = it starts them
}

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Int64Var(&o.rows, "rows", 1_000_000, "how many events to generate, or how many to make of a file's")
	flags.StringVar(&o.events, "events", "", "a file of events (.parquet, .jsonl, .jsonl.gz, .csv) in place of generated ones")
	flags.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "tranche-bench"), "where events are kept and files are written")
	flags.StringVar(&o.only, "only", "", "only measurements whose name contains one of these, separated by |")
	flags.IntVar(&o.repeat, "repeat", 1, "how often each is measured; the least CPU time counts")
	flags.IntVar(&o.threads, "threads", 2, "how many threads DuckDB may use, as a source and for its COPY")
	flags.StringVar(&o.memory, "memory", "128MB", "how much memory DuckDB may use as a source; its COPY may use all")
	flags.DurationVar(&o.limit, "limit", 5*time.Minute, "how long one measurement may take")
	flags.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of Tranche's measurements")
	flags.StringVar(&o.to, "to", "", "a file with a destination to measure too: {type, config} as in the API")
	flags.StringVar(&o.child, "measure", "", "make one measurement and print it as JSON")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	return o, os.MkdirAll(o.dir, 0o700)
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args, log)
	if err != nil {
		return err
	}
	if o.child != "" {
		m, err := measure(ctx, o)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(m)
	}
	if err := prepare(ctx, o, log); err != nil {
		return err
	}
	all, err := cases(o)
	if err != nil {
		return err
	}
	var table []Measurement
	for range max(o.repeat, 1) {
		for _, c := range all {
			if !o.wants(c.name) {
				continue
			}
			_, _ = fmt.Fprintf(log, "%s…\n", c.name) // progress for who watches
			m, err := inProcess(ctx, args, c.name, o.limit, log)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", c.name, err), print(out, all, table)) // minutes of work
			}
			table = keepLeast(table, m)
		}
	}
	return print(out, all, table)
}

func (o options) wants(name string) bool {
	if o.only == "" {
		return true
	}
	for word := range strings.SplitSeq(o.only, "|") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// inProcess has another process of this program make the measurement.
func inProcess(ctx context.Context, args []string, name string, limit time.Duration, log io.Writer) (Measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return Measurement{}, err
	}
	child := exec.CommandContext(ctx, self, append([]string{"-measure", name}, args...)...)
	child.Stderr = log
	body, err := child.Output()
	if err != nil {
		return Measurement{}, errors.Join(err, context.Cause(ctx))
	}
	var m Measurement
	return m, json.Unmarshal(body, &m)
}

// keepLeast adds a measurement, or puts it in the place of one of the same name that took more.
func keepLeast(table []Measurement, m Measurement) []Measurement {
	for i, before := range table {
		if before.Name != m.Name {
			continue
		}
		m.RSS = max(m.RSS, before.RSS)
		if m.CPU < before.CPU {
			table[i] = m
		}
		table[i].RSS = m.RSS
		return table
	}
	return append(table, m)
}
