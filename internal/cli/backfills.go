package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

func backfillsCommand(env Env) *cobra.Command {
	cmd := noun("backfills", "Run ranges of intervals, and watch how far they are",
		createBackfillCommand(env), listBackfillsCommand(env), getBackfillCommand(env), watchBackfillCommand(env),
		steerBackfillCommand(env, "pause", "Let the runs of a backfill that are under way go on, and start no more"),
		steerBackfillCommand(env, "resume", "Go on with a backfill that is paused"),
		cancelBackfillCommand(env))
	cmd.Aliases = []string{"backfill"}
	cmd.Long = "Run ranges of intervals, and watch how far they are.\n\nBACKFILL is the id of a backfill, or \"latest\"."
	return cmd
}

// backfillOptions are the flags of the command that starts a backfill.
type backfillOptions struct {
	start, end   string
	draft        client.BackfillDraft
	dryRun, wait bool
}

func createBackfillCommand(env Env) *cobra.Command {
	var o backfillOptions
	cmd := command(env, &cobra.Command{
		Use: "create EXPORT --start TIME [--end TIME] [flags]", Short: "Run a range of intervals, or tell what that would do", Args: exactly(1),
		Long: "Run the intervals from --start to --end.\n\n" +
			"TIME is a date, a time (in the export's zone unless it has an offset), \"now\", or a time before now such as -7d or -3h.\n" +
			"Times relative to now begin with the interval that they fall in. Daily and weekly exports take dates.",
		Example: "  tranche backfills create 'events by the hour' --start 2026-07-28 --end 2026-08-01 --dry-run\n" +
			"  tranche backfills create 'events by the hour' --start -7d --skip-delivered --concurrency 4 --wait\n" +
			"  tranche backfills create 'events by the hour' --start earliest --order newest",
	}, func(s *session, args []string) error { return createBackfill(s, args[0], o) })
	flags := cmd.Flags()
	flags.StringVar(&o.start, "start", "", "where the first interval begins: a `TIME`, or \"earliest\" for everything up to the end in one run")
	flags.StringVar(&o.end, "end", "now", "where the last interval ends: a `TIME`, or \"none\" to go on until it has caught up, where the destination allows it")
	flags.StringVar(&o.draft.Order, "order", "", "from which end: oldest or newest first; empty = the server's choice, oldest")
	flags.IntVar(&o.draft.Concurrency, "concurrency", 0, "how many intervals run at once; 0 = the server's choice")
	flags.BoolVar(&o.draft.SkipDelivered, "skip-delivered", false, "leave out what is delivered already")
	flags.BoolVar(&o.draft.Replace, "replace", false, "take the place of deliveries of another length")
	flags.BoolVar(&o.dryRun, "dry-run", false, "tell what it would do, and start nothing")
	waitFlag(cmd, &o.wait)
	complete(cmd, "order", "oldest", "newest")
	complete(cmd, "start", earliest, "-1d", "-7d", "-30d")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func createBackfill(s *session, name string, o backfillOptions) error {
	if o.start == "" {
		return usagef("--start says where the first interval begins; \"earliest\" is everything up to the end, in one run")
	}
	if o.draft.Concurrency < 0 {
		return usagef("--concurrency must not be negative")
	}
	e, err := s.export(name)
	if err != nil {
		return err
	}
	calendar, err := calendarOf(e.Value)
	if err != nil {
		return err
	}
	zone := zoneOfExport(e.Value)
	for _, b := range []struct {
		flag, text, open string
		into             **string
	}{{"--start", o.start, earliest, &o.draft.StartAt}, {"--end", o.end, "none", &o.draft.EndAt}} {
		if b.text == b.open {
			continue
		}
		text, err := bound(b.text, calendar, s.env.Now(), zone)
		if err != nil {
			return usagef("%s: %v", b.flag, err)
		}
		*b.into = &text
	}
	if o.dryRun {
		return previewBackfill(s, e.Value, o.draft)
	}
	body, err := s.CreateBackfill(s.ctx, e.Value.ID, o.draft)
	if err != nil {
		return err
	}
	return s.started(e.Value, body, o.wait)
}

func previewBackfill(s *session, e client.Export, d client.BackfillDraft) error {
	p, err := s.PreviewBackfill(s.ctx, e.ID, d)
	if err != nil {
		return err
	}
	if done, err := s.machine(p.Raw); done {
		return err
	}
	zone := s.zoneFor(e)
	var f facts
	f.add("Would run", plural(p.Value.Intervals, "interval", "intervals"))
	f.add("From", interval(p.Value.StartAt, p.Value.EndAt, zone)+" "+zoneName(zone, s.env.Now()))
	if p.Value.AdjustedStartAt != nil {
		f.add("Data begin", instant(*p.Value.AdjustedStartAt, zone))
	}
	f.add("Delivered", plural(p.Value.Delivered, "of them is delivered already", "of them are delivered already"))
	if d.SkipDelivered {
		f.add("Left out", plural(p.Value.Skipped, "interval", "intervals"))
	}
	if p.Value.Overlapping > 0 {
		f.add("Overlaps", cell{plural(p.Value.Overlapping, "delivery", "deliveries") + " of another length: only --replace takes their place", bad})
	}
	f.add("Rows", countOf(p.Value.Records))
	bytes := "not known: nothing was delivered yet to go by"
	if p.Value.Bytes != nil {
		bytes = "about " + size(*p.Value.Bytes)
	}
	f.add("Bytes", bytes)
	if err := f.write(s.out, s.style); err != nil {
		return err
	}
	s.say("Nothing was started.")
	return nil
}

func listBackfillsCommand(env Env) *cobra.Command {
	var limit int
	cmd := command(env, &cobra.Command{
		Use: "list EXPORT [flags]", Short: "List an export's backfills, newest first", Args: exactly(1), Aliases: []string{"ls"},
		Example: "  tranche backfills list 'events by the hour'",
	}, func(s *session, args []string) error { return listBackfills(s, args[0], limit) })
	cmd.Flags().IntVar(&limit, "limit", defaultRuns, "show at most so many; 0 = all")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func listBackfills(s *session, name string, limit int) error {
	e, err := s.export(name)
	if err != nil {
		return err
	}
	backfills, more, err := client.Collect(s.Backfills(s.ctx, e.Value.ID), limit)
	if err != nil {
		return err
	}
	if done, err := s.machine(raws(backfills)); done {
		return err
	}
	if len(backfills) == 0 {
		s.say("No backfills of %q.", e.Value.Name)
		return nil
	}
	zone, now := s.zoneFor(e.Value), s.env.Now()
	t := newTable("RANGE ("+zoneName(zone, now)+")", "STATUS", ">DONE", ">FAILED", ">ROWS", ">BYTES", "BEGAN", "BACKFILL", "")
	for _, b := range values(backfills) {
		t.add(rangeOf(b, zone), backfillStatus(b), doneOf(b), count(b.Runs.Failed), count(b.RecordsCompleted), size(b.BytesExported),
			age(now, b.CreatedAt), b.ID, backfillRemark(b))
	}
	if err := t.write(s.out, s.style); err != nil {
		return err
	}
	s.sayMore(more, limit)
	return nil
}

func rangeOf(b client.Backfill, zone *time.Location) string {
	if b.EndAt == nil {
		return instantOf(b.StartAt, zone) + " – now"
	}
	return interval(b.StartAt, *b.EndAt, zone)
}

func backfillStatus(b client.Backfill) cell {
	if b.Paused && !b.Status.Final() {
		return cell{"Paused", busy}
	}
	return cell{string(b.Status), toneOf(string(b.Status))}
}

func doneOf(b client.Backfill) string {
	finished := count(b.Runs.Completed + b.Runs.Failed + b.Runs.Cancelled)
	if total := totalOf(b); total > 0 {
		return finished + "/" + count(total)
	}
	return finished
}

func backfillRemark(b client.Backfill) cell {
	switch {
	case b.LatestError != nil && b.Status != batch.BackfillCompleted:
		return cell{*b.LatestError, bad}
	case b.Retry:
		return cell{"a retry", faint}
	}
	return cell{}
}

func (s *session) exportAndBackfill(args []string) (e client.Body[client.Export], b client.Body[client.Backfill], err error) {
	if e, err = s.export(args[0]); err != nil {
		return e, b, err
	}
	b, err = s.backfill(e.Value, args[1])
	return e, b, err
}

func getBackfillCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "get EXPORT BACKFILL [flags]", Short: "Show a backfill and how far it is", Args: exactly(2),
		Example: "  tranche backfills get 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, b, err := s.exportAndBackfill(args)
		if err != nil {
			return err
		}
		if done, err := s.machine(b.Raw); done {
			return err
		}
		return showBackfill(s, b.Value, s.zoneFor(e.Value))
	})
	cmd.ValidArgsFunction = completeBackfills(env)
	return cmd
}

func showBackfill(s *session, b client.Backfill, zone *time.Location) error {
	now := s.env.Now()
	var f facts
	f.add("Backfill", b.ID)
	f.add("Range", rangeOf(b, zone)+" "+zoneName(zone, now))
	if b.AdjustedStartAt != nil {
		f.add("Data begin", instant(*b.AdjustedStartAt, zone))
	}
	f.add("Status", backfillStatus(b))
	f.add("Done", fmt.Sprintf("%s: %s completed, %s failed, %s cancelled, %s running", doneOf(b),
		count(b.Runs.Completed), count(b.Runs.Failed), count(b.Runs.Cancelled), count(b.Runs.Running)))
	f.add("Rows", count(b.RecordsCompleted)+" of "+countOf(b.TotalRecordsCount))
	f.add("Bytes", size(b.BytesExported))
	f.add("Order", fmt.Sprintf("%s first, %d at once", b.Order, b.Concurrency))
	if b.SkipDelivered {
		f.add("Skips", "what is delivered already")
	}
	if b.Replace {
		f.add("Replaces", "deliveries of another length")
	}
	f.add("Began", b.CreatedAt.In(zone).Format(seconds)+" ("+age(now, b.CreatedAt)+")")
	if b.FinishedAt != nil {
		f.add("Took", span(b.FinishedAt.Sub(b.CreatedAt)))
	}
	f.add("Remark", backfillRemark(b))
	if b.TemporalURL != nil {
		f.add("Temporal", *b.TemporalURL)
	}
	return f.write(s.out, s.style)
}

func watchBackfillCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "watch EXPORT BACKFILL [flags]", Short: "Watch a backfill until it is over; exit with 8 unless it completed", Args: exactly(2),
		Long: "Watch a backfill until it is over. Ctrl-C ends the watching, with exit code 130, and not the backfill.\n\n" +
			"On a terminal a bar is drawn; elsewhere each change is a line on standard error. The result goes to standard output.",
		Example: "  tranche backfills watch 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, b, err := s.exportAndBackfill(args)
		if err != nil {
			return err
		}
		return watchBackfill(s, e.Value, b.Value.ID)
	})
	cmd.ValidArgsFunction = completeBackfills(env)
	return cmd
}

func steerBackfillCommand(env Env, verb, short string) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: verb + " EXPORT BACKFILL [flags]", Short: short, Args: exactly(2),
		Example: "  tranche backfills " + verb + " 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, b, err := s.exportAndBackfill(args)
		if err != nil {
			return err
		}
		steer, done := s.PauseBackfill, "paused: runs under way go on"
		if verb == "resume" {
			steer, done = s.ResumeBackfill, "going on"
		}
		body, err := steer(s.ctx, e.Value.ID, b.Value.ID)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		s.say("Backfill %s is %s.", b.Value.ID, done)
		return nil
	})
	cmd.ValidArgsFunction = completeBackfills(env)
	return cmd
}

func cancelBackfillCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "cancel EXPORT BACKFILL [flags]", Short: "Cancel a backfill and its runs", Args: exactly(2),
		Example: "  tranche backfills cancel 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, b, err := s.exportAndBackfill(args)
		if err != nil {
			return err
		}
		body, err := s.CancelBackfill(s.ctx, e.Value.ID, b.Value.ID)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		s.say("Backfill %s is being cancelled, with its runs. What it delivered stays.", b.Value.ID)
		return nil
	})
	cmd.ValidArgsFunction = completeBackfills(env)
	return cmd
}
