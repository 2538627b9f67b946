package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/client"
)

// pause waits, or returns why it was woken.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outage is how long an API may be away while something is watched.
const outage = 10 * time.Minute

// A patience outlasts an API that restarts.
type patience struct {
	s     *session
	since time.Time // the API does not answer; zero = it does
}

func newPatience(s *session) *patience { return &patience{s: s} }

// with passes on errors but those that may pass: they are told once, for as long as patience lasts.
func (p *patience) with(err error) error {
	if p.s.ctx.Err() != nil {
		return p.s.ctx.Err()
	}
	if err == nil || ExitCode(err) != ExitUnavailable {
		if err == nil && !p.since.IsZero() {
			p.since = time.Time{}
			p.s.warn("the API answers again")
		}
		return err
	}
	now := p.s.env.Now()
	if p.since.IsZero() {
		p.since = now
		p.s.warn("%v; still trying", err)
	}
	if now.Sub(p.since) > outage {
		return err
	}
	return nil
}

// watchBackfill shows a backfill until it is over: as a bar on a terminal, in lines elsewhere.
func watchBackfill(s *session, e client.Export, id uuid.UUID) error {
	show := s.progress(e)
	patience := newPatience(s)
	for {
		b, err := s.Backfill(s.ctx, e.ID, id)
		if err := patience.with(err); err != nil {
			show.end()
			return watchingEnded(err, e, id)
		}
		if err == nil {
			show.update(b.Value)
			if b.Value.Status.Final() {
				show.end()
				return s.verdict(e, b)
			}
		}
		if err := pause(s.ctx, s.env.Poll); err != nil {
			show.end()
			return watchingEnded(err, e, id)
		}
	}
}

// watchingEnded tells that only the watching was interrupted.
func watchingEnded(err error, e client.Export, id uuid.UUID) error {
	if errors.Is(err, context.Canceled) {
		return exitf(ExitInterrupted, "no longer watching; the backfill goes on\n  To end it: tranche backfills cancel %s %s", quoted(line(e.Name)), id)
	}
	return err
}

// verdict tells how a backfill ended.
func (s *session) verdict(e client.Export, b client.Body[client.Backfill]) error {
	if done, err := s.machine(b.Raw); done && err != nil {
		return err
	} else if !done {
		showVerdict(s, b.Value)
	}
	if b.Value.Status == batch.BackfillCompleted {
		return nil
	}
	reason := ""
	if b.Value.LatestError != nil {
		reason = ": " + line(*b.Value.LatestError)
	}
	hint := ""
	if b.Value.Runs.Failed > 0 {
		hint = fmt.Sprintf("\n  Which ones: tranche runs list %s --status Failed", quoted(line(e.Name)))
	}
	return exitf(ExitEndedBadly, "the backfill ended %s%s%s", b.Value.Status, reason, hint)
}

func showVerdict(s *session, b client.Backfill) {
	text := fmt.Sprintf("%s: %s delivered, %s, %s", s.style.paint(toneOf(string(b.Status)), string(b.Status)),
		plural(b.Runs.Completed, "interval", "intervals"), plural(b.RecordsCompleted, "row", "rows"), size(b.BytesExported))
	if b.FinishedAt != nil {
		text += ", in " + span(b.FinishedAt.Sub(b.CreatedAt))
	}
	for _, other := range []struct {
		n    int64
		name string
	}{{b.Runs.Failed, "failed"}, {b.Runs.Cancelled, "cancelled"}} {
		if other.n > 0 {
			text += fmt.Sprintf("; %s %s", count(other.n), other.name)
		}
	}
	fmt.Fprintln(s.out, text+".")
}

// A progress shows how far a backfill is.
type progress struct {
	s    *session
	out  io.Writer // beside the result: scripts read that
	bar  bool
	last string
	from time.Time
	done int64 // when the watching began
}

func (s *session) progress(client.Export) *progress {
	return &progress{s: s, out: s.env.Err, bar: s.env.Width(s.env.Err) > 0 && s.env.Getenv("TERM") != "dumb"}
}

func (p *progress) update(b client.Backfill) {
	now := p.s.env.Now()
	finished := b.Runs.Completed + b.Runs.Failed + b.Runs.Cancelled
	if p.from.IsZero() {
		p.from, p.done = now, finished
	}
	words := progressWords(b)
	if !p.bar {
		if words != p.last {
			fmt.Fprintf(p.out, "%s %s\n", now.UTC().Format(time.RFC3339), words)
		}
		p.last = words
		return
	}
	text := words + p.remaining(b, finished, now)
	if total := totalOf(b); total > 0 {
		text = drawn(finished, total) + " " + text
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", cut(text, p.s.env.Width(p.out)-1))
	p.last = text
}

// end leaves the terminal at the beginning of a line.
func (p *progress) end() {
	if p.bar && p.last != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func totalOf(b client.Backfill) int64 {
	switch {
	case b.Progress != nil:
		return b.Progress.TotalRuns
	case b.Runs.Total != nil:
		return *b.Runs.Total
	}
	return 0
}

func progressWords(b client.Backfill) string {
	status := string(b.Status)
	if b.Paused && !b.Status.Final() {
		status = "Paused"
	}
	of := ""
	if total := totalOf(b); total > 0 {
		of = " of " + count(total)
	}
	text := fmt.Sprintf("%s: %s%s intervals", status, count(b.Runs.Completed+b.Runs.Failed+b.Runs.Cancelled), of)
	if b.Runs.Running > 0 {
		text += fmt.Sprintf(", %s running", count(b.Runs.Running))
	}
	if b.Runs.Failed > 0 {
		text += fmt.Sprintf(", %s failed", count(b.Runs.Failed))
	}
	return text + fmt.Sprintf(", %s, %s", plural(b.RecordsCompleted, "row", "rows"), size(b.BytesExported))
}

// remaining guesses the time that is left, by what was done while it was watched.
func (p *progress) remaining(b client.Backfill, finished int64, now time.Time) string {
	total, done := totalOf(b), finished-p.done
	if b.Paused || done < 3 || total <= finished {
		return ""
	}
	left := time.Duration(float64(now.Sub(p.from)) / float64(done) * float64(total-finished))
	return ", about " + span(left.Round(time.Second)) + " left"
}

const barWidth = 24

func drawn(finished, total int64) string {
	full := int(min(finished, total) * barWidth / total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + fmt.Sprintf("] %3d%%", min(finished, total)*100/total)
}
