package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

func runsCommand(env Env) *cobra.Command {
	cmd := noun("runs", "Look at runs, cancel them, deliver their intervals again",
		listRunsCommand(env), getRunCommand(env), cancelRunCommand(env), retryRunCommand(env), runLogsCommand(env))
	cmd.Aliases = []string{"run"}
	cmd.Long = "Look at runs, cancel them, deliver their intervals again.\n\nRUN is the id of a run, or \"latest\"."
	return cmd
}

// defaultRuns is how many runs are listed unless more are asked for.
const defaultRuns = 25

func listRunsCommand(env Env) *cobra.Command {
	var q client.RunQuery
	var limit int
	cmd := command(env, &cobra.Command{
		Use: "list EXPORT [flags]", Short: "List an export's runs, newest first", Args: exactly(1), Aliases: []string{"ls"},
		Example: "  tranche runs list 'events by the hour'\n  tranche runs list 'events by the hour' --status Failed --after -7d\n" +
			"  tranche runs list 'events by the hour' --by-interval --start 2026-07-28 --end 2026-08-01",
	}, func(s *session, args []string) error { return listRuns(s, args[0], q, limit) })
	flags := cmd.Flags()
	flags.StringSliceVar(&q.Statuses, "status", nil, "only runs with this `STATUS`; repeatable")
	flags.StringVar(&q.After, "after", "", "created after this `TIME`: ISO 8601, or before now as in -7d or -3h")
	flags.StringVar(&q.Before, "before", "", "created before this `TIME`")
	flags.BoolVar(&q.ByInterval, "by-interval", false, "newest interval first, in place of newest run first")
	flags.StringVar(&q.Start, "start", "", "with --by-interval: intervals that start at this `TIME` or later")
	flags.StringVar(&q.End, "end", "", "with --by-interval: intervals that end at this `TIME` or earlier")
	flags.IntVar(&limit, "limit", defaultRuns, "show at most so many; 0 = all")
	statuses := make([]string, len(batch.RunStatuses))
	for i, status := range batch.RunStatuses {
		statuses[i] = string(status)
	}
	complete(cmd, "status", statuses...)
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func listRuns(s *session, name string, q client.RunQuery, limit int) error {
	if !q.ByInterval && (q.Start != "" || q.End != "") {
		return usagef("--start and --end go with --by-interval")
	}
	if q.ByInterval && (q.After != "" || q.Before != "") {
		return usagef("--after and --before do not go with --by-interval")
	}
	for i, status := range q.Statuses { // as people write them
		for _, known := range batch.RunStatuses {
			if strings.EqualFold(status, string(known)) {
				q.Statuses[i] = string(known)
			}
		}
	}
	e, err := s.export(name)
	if err != nil {
		return err
	}
	runs, more, err := client.Collect(s.Runs(s.ctx, e.Value.ID, q), limit)
	if err != nil {
		return err
	}
	if done, err := s.machine(raws(runs)); done {
		return err
	}
	if len(runs) == 0 {
		s.say("No such runs of %q.", e.Value.Name)
		return nil
	}
	if err := runTable(s, values(runs), s.zoneFor(e.Value)); err != nil {
		return err
	}
	s.sayMore(more, limit)
	return nil
}

func values[T any](bodies []client.Body[T]) []T {
	all := make([]T, len(bodies))
	for i, b := range bodies {
		all[i] = b.Value
	}
	return all
}

// runTable shows runs, with times in zone.
func runTable(s *session, runs []client.Run, zone *time.Location) error {
	now := s.env.Now()
	t := newTable("INTERVAL ("+zoneName(zone, now)+")", "STATUS", ">ROWS", ">BYTES", ">TOOK", "BEGAN", "RUN", "")
	for _, r := range runs {
		t.add(interval(r.DataIntervalStart, r.DataIntervalEnd, zone), cell{statusOf(r), toneOf(string(r.Status))},
			countOf(r.RecordsCompleted), sizeOf(r.BytesExported), took(r, now), age(now, r.CreatedAt), r.ID, cell{remark(r, now), bad})
	}
	return t.write(s.out, s.style)
}

// statusOf is a run's status, with its attempt when that is not the first one.
func statusOf(r client.Run) string {
	if r.Attempt > 1 && !r.Status.Final() {
		return fmt.Sprintf("%s, try %d", r.Status, r.Attempt)
	}
	return string(r.Status)
}

func took(r client.Run, now time.Time) string {
	if r.FinishedAt != nil {
		return span(r.FinishedAt.Sub(r.CreatedAt))
	}
	if r.Status.Final() {
		return none
	}
	return span(now.Sub(r.CreatedAt))
}

// remark is what needs to be known of a run: why it failed, why it waits, when it tries again.
func remark(r client.Run, now time.Time) string {
	text := ""
	if r.LatestError != nil && r.Status != batch.RunCompleted {
		text = *r.LatestError
	}
	if r.WaitingFor != nil {
		text = "waits for " + *r.WaitingFor
	}
	if r.NextRetryAt != nil && !r.Status.Final() {
		text = "next try " + age(now, *r.NextRetryAt) + "; " + text
	}
	return text
}

func getRunCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "get EXPORT RUN [flags]", Short: "Show a run", Args: exactly(2),
		Example: "  tranche runs get 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, r, err := s.exportAndRun(args)
		if err != nil {
			return err
		}
		if done, err := s.machine(r.Raw); done {
			return err
		}
		return showRun(s, r.Value, s.zoneFor(e.Value))
	})
	cmd.ValidArgsFunction = completeRuns(env)
	return cmd
}

func (s *session) exportAndRun(args []string) (e client.Body[client.Export], r client.Body[client.Run], err error) {
	if e, err = s.export(args[0]); err != nil {
		return e, r, err
	}
	r, err = s.run(e.Value, args[1])
	return e, r, err
}

func showRun(s *session, r client.Run, zone *time.Location) error {
	now := s.env.Now()
	var f facts
	f.add("Run", r.ID)
	f.add("Interval", interval(r.DataIntervalStart, r.DataIntervalEnd, zone)+" "+zoneName(zone, now))
	f.add("Status", cell{statusOf(r), toneOf(string(r.Status))})
	f.add("Rows", countOf(r.RecordsCompleted)+" of "+countOf(r.RecordsTotalCount))
	f.add("Bytes", sizeOf(r.BytesExported))
	f.add("Began", r.CreatedAt.In(zone).Format(seconds)+" ("+age(now, r.CreatedAt)+")")
	f.add("Took", took(r, now))
	f.add("Attempt", r.Attempt)
	if r.Backfill != nil {
		f.add("Backfill", *r.Backfill)
	}
	if text := remark(r, now); text != "" {
		f.add("Problem", cell{text, bad})
	}
	if r.TemporalURL != nil {
		f.add("Temporal", *r.TemporalURL)
	}
	return f.write(s.out, s.style)
}

func cancelRunCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "cancel EXPORT RUN [flags]", Short: "Cancel a run; one that publishes already completes", Args: exactly(2),
		Example: "  tranche runs cancel 'events by the hour' latest",
	}, func(s *session, args []string) error {
		e, r, err := s.exportAndRun(args)
		if err != nil {
			return err
		}
		body, err := s.CancelRun(s.ctx, e.Value.ID, r.Value.ID)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		s.say("Run %s is being cancelled.", r.Value.ID)
		return nil
	})
	cmd.ValidArgsFunction = completeRuns(env)
	return cmd
}

func retryRunCommand(env Env) *cobra.Command {
	var wait bool
	cmd := command(env, &cobra.Command{
		Use: "retry EXPORT RUN [flags]", Short: "Deliver the interval of a run again, in place of what it delivered", Args: exactly(2),
		Example: "  tranche runs retry 'events by the hour' latest --wait",
	}, func(s *session, args []string) error {
		e, r, err := s.exportAndRun(args)
		if err != nil {
			return err
		}
		body, err := s.RetryRun(s.ctx, e.Value.ID, r.Value.ID)
		if err != nil {
			return err
		}
		return s.started(e.Value, body, wait)
	})
	waitFlag(cmd, &wait)
	cmd.ValidArgsFunction = completeRuns(env)
	return cmd
}

// started tells of a backfill that was started, or watches it to its end.
func (s *session) started(e client.Export, body client.Body[client.StartedBackfill], wait bool) error {
	if wait {
		return watchBackfill(s, e, body.Value.BackfillID)
	}
	if done, err := s.machine(body.Raw); done {
		return err
	}
	s.say("Started backfill %s. See it with: tranche backfills watch %s %s", body.Value.BackfillID, quoted(e.Name), body.Value.BackfillID)
	return nil
}

func waitFlag(cmd *cobra.Command, wait *bool) {
	cmd.Flags().BoolVar(wait, "wait", false, "watch until it is over; exit with 8 unless it completed")
}

// quoted is a name as a shell needs it.
func quoted(name string) string {
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/@", r) {
			return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
		}
	}
	return name
}
