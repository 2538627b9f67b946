package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

// coverageOptions are the flags of coverage.
type coverageOptions struct {
	start, end string
	each       bool
	only       []string
	check      bool
}

func coverageCommand(env Env) *cobra.Command {
	var o coverageOptions
	cmd := command(env, &cobra.Command{
		Use: "coverage EXPORT [flags]", Short: "Show what became of every interval, and fill the gaps", Args: exactly(1),
		Long: "Show what became of every interval. Neighbours that are alike are shown as one range.\n\n" +
			"\"tranche coverage fill\" starts backfills of exactly those that failed or are missing.",
		Example: "  tranche coverage 'events by the hour' --start -7d\n  tranche coverage 'events by the hour' --each --only missing,failed\n" +
			"  tranche coverage 'events by the hour' --start -1d --check || page-somebody",
	}, func(s *session, args []string) error { return showCoverage(s, args[0], o) })
	flags := cmd.Flags()
	boundFlags(cmd, &o.start, &o.end)
	flags.BoolVar(&o.each, "each", false, "show each interval, not ranges")
	flags.StringSliceVar(&o.only, "only", nil, "only intervals with this `STATUS`; repeatable")
	flags.BoolVar(&o.check, "check", false, "exit with 8 when intervals failed or are missing")
	complete(cmd, "only", "delivered", "empty", "running", "failed", "paused", "missing")
	cmd.ValidArgsFunction = completeExports(env)
	cmd.AddCommand(fillCommand(env))
	return cmd
}

func boundFlags(cmd *cobra.Command, start, end *string) {
	cmd.Flags().StringVar(start, "start", "", "from this `TIME`: a date, a time, or before now as in -7d; empty = the export's beginning")
	cmd.Flags().StringVar(end, "end", "", "to this `TIME`; empty = now")
}

// bounds turns the flags into instants; nil = not given.
func (s *session) bounds(start, end string, e client.Export) (from, to *time.Time, err error) {
	for _, b := range []struct {
		flag, text string
		into       **time.Time
	}{{"--start", start, &from}, {"--end", end, &to}} {
		if b.text == "" {
			continue
		}
		t, err := timeOf(b.text, s.env.Now(), s.zoneFor(e))
		if err != nil {
			return nil, nil, usagef("%s: %v", b.flag, err)
		}
		*b.into = &t
	}
	return from, to, nil
}

func showCoverage(s *session, name string, o coverageOptions) error {
	wanted := map[batch.CoverageStatus]bool{}
	for _, text := range o.only {
		wanted[batch.CoverageStatus(text)] = true
	}
	e, err := s.export(name)
	if err != nil {
		return err
	}
	from, to, err := s.bounds(o.start, o.end, e.Value)
	if err != nil {
		return err
	}
	var all []client.Body[client.Covered]
	counts := map[batch.CoverageStatus]int64{}
	for c, err := range s.Coverage(s.ctx, e.Value.ID, wire(from), wire(to)) {
		if err != nil {
			return err
		}
		counts[c.Value.Status]++
		if len(wanted) == 0 || wanted[c.Value.Status] {
			all = append(all, c)
		}
	}
	if done, err := s.machine(raws(all)); err != nil {
		return err
	} else if !done {
		if err := coverageTable(s, e.Value, values(all), o.each); err != nil {
			return err
		}
		s.say("%s", coverageSummary(counts))
	}
	if gaps := counts[batch.CoverageFailed] + counts[batch.CoverageMissing]; o.check && gaps > 0 {
		return exitf(ExitEndedBadly, "%s of %q failed or missing\n  To deliver what is missing: tranche coverage fill %s",
			plural(gaps, "interval", "intervals"), line(e.Value.Name), quoted(line(e.Value.Name)))
	}
	return nil
}

func wire(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// A stretch is neighbouring intervals that are alike.
type stretch struct {
	status    batch.CoverageStatus
	start     *time.Time
	end       time.Time
	intervals int64
	rows      int64
	bytes     int64
	remark    string
}

// stretches joins neighbours.
func stretches(all []client.Covered, each bool) []stretch {
	var joined []stretch
	for _, c := range all {
		next := stretch{status: c.Status, start: c.DataIntervalStart, end: c.DataIntervalEnd, intervals: 1, remark: coveredRemark(c)}
		if c.Records != nil {
			next.rows = *c.Records
		}
		if c.Bytes != nil {
			next.bytes = *c.Bytes
		}
		if last := len(joined) - 1; !each && last >= 0 && alike(joined[last], next) {
			joined[last].end = next.end
			joined[last].intervals++
			joined[last].rows += next.rows
			joined[last].bytes += next.bytes
			continue
		}
		joined = append(joined, next)
	}
	return joined
}

func alike(a, b stretch) bool {
	return a.status == b.status && a.remark == b.remark && b.start != nil && a.end.Equal(*b.start)
}

// coveredRemark says why an interval failed, or that it overlaps another.
func coveredRemark(c client.Covered) string {
	switch {
	case c.Status == batch.CoverageFailed && len(c.Runs) > 0 && c.Runs[0].LatestError != nil:
		return *c.Runs[0].LatestError
	case c.Overlaps:
		return "overlaps another delivery"
	}
	return ""
}

func coverageTable(s *session, e client.Export, all []client.Covered, each bool) error {
	if len(all) == 0 {
		return nil
	}
	zone := s.zoneFor(e)
	t := newTable("FROM – TO ("+zoneName(zone, s.env.Now())+")", "STATUS", ">INTERVALS", ">ROWS", ">BYTES", "")
	for _, r := range stretches(all, each) {
		rows, bytes := none, none
		if r.status == batch.CoverageDelivered {
			rows, bytes = count(r.rows), size(r.bytes)
		}
		t.add(interval(r.start, r.end, zone), cell{string(r.status), toneOf(string(r.status))}, count(r.intervals), rows, bytes, cell{r.remark, bad})
	}
	return t.write(s.out, s.style)
}

func coverageSummary(counts map[batch.CoverageStatus]int64) string {
	text, total := "", int64(0)
	for _, status := range batch.CoverageStatuses {
		n := counts[status]
		total += n
		if n == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += count(n) + " " + string(status)
	}
	if total == 0 {
		return "No interval is over yet."
	}
	return plural(total, "interval", "intervals") + ": " + text + "."
}

func fillCommand(env Env) *cobra.Command {
	var start, end string
	var paused bool
	cmd := command(env, &cobra.Command{
		Use: "fill EXPORT [flags]", Short: "Start backfills of exactly the intervals that failed or are missing", Args: exactly(1),
		Example: "  tranche coverage fill 'events by the hour' --start -7d",
	}, func(s *session, args []string) error {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		f := client.Fill{IncludePaused: paused}
		if f.Start, f.End, err = s.bounds(start, end, e.Value); err != nil {
			return err
		}
		body, err := s.FillCoverage(s.ctx, e.Value.ID, f)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		return showFilled(s, e.Value, body.Value)
	})
	boundFlags(cmd, &start, &end)
	cmd.Flags().BoolVar(&paused, "include-paused", false, "also those that fell due while the export was paused")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func showFilled(s *session, e client.Export, filled client.Filled) error {
	s.say("%s", filled.Detail)
	if len(filled.Backfills) == 0 {
		return nil
	}
	zone := s.zoneFor(e)
	t := newTable("FROM – TO ("+zoneName(zone, s.env.Now())+")", ">INTERVALS", "BACKFILL")
	for _, b := range filled.Backfills {
		to := none
		if b.EndAt != nil {
			to = interval(b.StartAt, *b.EndAt, zone)
		}
		t.add(to, count(b.Intervals), b.BackfillID)
	}
	if err := t.write(s.out, s.style); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "See them with: tranche backfills list %s\n", quoted(line(e.Name)))
	return nil
}
