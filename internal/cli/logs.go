package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/internal/client"
)

// logOptions are the flags of the commands that show logs.
type logOptions struct {
	follow bool
	levels []string
	search string
	since  string
	limit  int
}

const defaultLogs = 100

func (o *logOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what is new, until it is over or Ctrl-C")
	flags.StringSliceVar(&o.levels, "level", nil, "only entries of this `LEVEL`: debug, info, warning, error; repeatable")
	flags.StringVar(&o.search, "search", "", "only entries that have this `TEXT`")
	flags.StringVar(&o.since, "since", "", "only entries since this `TIME`: ISO 8601, or before now as in -2h or -30m")
	flags.IntVar(&o.limit, "limit", defaultLogs, "show at most so many, the newest; 0 = all")
	complete(cmd, "level", "debug", "info", "warning", "error")
}

func logsCommand(env Env) *cobra.Command {
	var o logOptions
	cmd := command(env, &cobra.Command{
		Use: "logs EXPORT [flags]", Short: "Show what happened to an export and in its runs", Args: exactly(1),
		Example: "  tranche logs 'events by the hour' --level error --since -24h\n  tranche logs 'events by the hour' -f",
	}, func(s *session, args []string) error {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		return showLogs(s, e.Value, nil, o)
	})
	o.add(cmd)
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func runLogsCommand(env Env) *cobra.Command {
	var o logOptions
	cmd := command(env, &cobra.Command{
		Use: "logs EXPORT RUN [flags]", Short: "Show what happened in a run", Args: exactly(2),
		Long:    "Show what happened in a run. With -f it goes on until the run is over; Ctrl-C ends that with exit code 130, and not the run.",
		Example: "  tranche runs logs 'events by the hour' latest -f",
	}, func(s *session, args []string) error {
		e, r, err := s.exportAndRun(args)
		if err != nil {
			return err
		}
		return showLogs(s, e.Value, &r.Value.ID, o)
	})
	o.add(cmd)
	cmd.ValidArgsFunction = completeRuns(env)
	return cmd
}

func showLogs(s *session, e client.Export, run *uuid.UUID, o logOptions) error {
	q := client.LogQuery{Export: e.ID, Run: run, Levels: o.levels, Search: o.search}
	if o.since != "" {
		since, err := timeOf(o.since, s.env.Now(), s.zoneFor(e))
		if err != nil {
			return usagef("--since %v", err)
		}
		q.Since = since
	}
	p := logPrinter{session: s, zone: s.zoneFor(e), ofRun: run != nil}
	if o.follow {
		return follow(s, q, o.limit, p)
	}
	entries, err := s.Logs(s.ctx, q, o.limit)
	if err != nil {
		return err
	}
	if done, err := s.machine(raws(entries)); done {
		return err
	}
	if len(entries) == 0 {
		s.say("No such entries.")
	}
	return p.print(entries)
}

// follow shows what is new until the run is over, if it is that of a run, or until it is interrupted: the usual end.
func follow(s *session, q client.LogQuery, limit int, p logPrinter) error {
	tail := s.Follow(q)
	patience := newPatience(s)
	over := false
	for {
		entries, err := tail.Next(s.ctx, limit)
		if err := patience.with(err); err != nil {
			return endOfFollowing(err, q.Run)
		}
		if err := p.print(entries); err != nil {
			return err
		}
		if over {
			return nil
		}
		if q.Run != nil && err == nil {
			r, err := s.Run(s.ctx, q.Export, *q.Run)
			if err := patience.with(err); err != nil {
				return endOfFollowing(err, q.Run)
			}
			over = err == nil && r.Value.Status.Final() // its last words may still be on their way
		}
		if err := pause(s.ctx, s.env.Poll); err != nil {
			return endOfFollowing(err, q.Run)
		}
	}
}

// endOfFollowing tells that only the following was interrupted. That of an export has no other end.
func endOfFollowing(err error, run *uuid.UUID) error {
	switch {
	case !errors.Is(err, context.Canceled):
		return err
	case run != nil:
		return exitf(ExitInterrupted, "no longer following; the run goes on")
	}
	return nil
}

// A logPrinter shows entries, a line for each.
type logPrinter struct {
	*session
	zone  *time.Location
	ofRun bool
}

func (p logPrinter) print(entries []client.Body[client.LogEntry]) error {
	for _, e := range entries {
		if p.format != tables {
			// One document for each: a stream has no end that could close a list.
			if err := writeStreamed(p.out, p.format, e.Raw); err != nil {
				return err
			}
			continue
		}
		about := ""
		if !p.ofRun && len(e.Value.InstanceID) >= 8 {
			about = e.Value.InstanceID[:8] + " "
		}
		_, err := fmt.Fprintf(p.out, "%s %s %s%s\n", p.style.paint(faint, e.Value.Timestamp.In(p.zone).Format(seconds)),
			p.style.paint(toneOf(string(e.Value.Level)), fmt.Sprintf("%-7s", e.Value.Level)), p.style.paint(faint, about), line(e.Value.Message))
		if err != nil {
			return err
		}
	}
	return nil
}
