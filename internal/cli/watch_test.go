package cli_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/cli"
)

// backfillOf starts a backfill of the day before and returns it.
func (w *world) backfillOf(e batch.Export) batch.Backfill {
	w.t.Helper()
	w.run("backfills", "create", "to the vault", "--start", "2026-05-05", "--end", "2026-05-06", "--order", "newest", "--concurrency", "3").
		ends(cli.ExitOK).prints("Started backfill <id>. See it with: tranche backfills watch 'to the vault' <id>\n")
	all, err := w.db.ListBackfills(w.t.Context(), batch.BackfillFilter{TeamID: 1, ExportID: e.ID, OrderBy: batch.OrderCreatedAt, Desc: true, Limit: 1})
	require.NoError(w.t, err)
	require.Len(w.t, all, 1)
	return all[0]
}

func (w *world) end(b batch.Backfill, status batch.BackfillStatus, failure string) {
	w.t.Helper()
	_, err := w.db.UpdateBackfill(w.t.Context(), b.ID, func(b *batch.Backfill) error {
		at := w.clock().Add(90 * time.Second)
		b.Status, b.LatestError, b.FinishedAt = status, failure, &at
		return nil
	})
	require.NoError(w.t, err)
}

func TestABackfill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.run("backfills", "list", "to the vault").ends(cli.ExitOK).prints("No backfills of \"to the vault\".\n")
	w.run("backfills", "create", "to the vault", "--start", "-7d", "--dry-run").ends(cli.ExitOK).prints(`
Would run  168 intervals
From       2026-04-29 07:00 – 2026-05-06 07:00 UTC
Delivered  0 of them are delivered already
Rows       -
Bytes      not known: nothing was delivered yet to go by
Nothing was started.
`)
	b := w.backfillOf(e)
	require.Equal(t, batch.NewestFirst, b.Order)
	w.run("backfills", "get", "to the vault", "latest").ends(cli.ExitOK).prints(`
Backfill  <id>
Range     2026-05-05 00:00 – 2026-05-06 00:00 UTC
Status    Starting
Done      0/24: 0 completed, 0 failed, 0 cancelled, 0 running
Rows      0 of -
Bytes     0 B
Order     newest first, 3 at once
Began     2026-05-06 07:08:09 (0s ago)
`)
	w.run("backfills", "pause", "to the vault", "latest").ends(cli.ExitOK).prints("Backfill <id> is paused: runs under way go on.\n")
	require.Contains(t, w.run("backfills", "list", "to the vault").out, "Paused")
	w.run("backfills", "resume", "to the vault", b.ID.String()).ends(cli.ExitOK).prints("Backfill <id> is going on.\n")
	w.run("backfills", "create", "to the vault", "--start", "2026-05-05", "--end", "2026-05-06").
		ends(cli.ExitRefused, "A backfill of exactly this range is running already.")
	w.run("backfills", "cancel", "to the vault", "latest").ends(cli.ExitOK).prints("Backfill <id> is being cancelled, with its runs. What it delivered stays.\n")
	w.run("backfills", "cancel", "to the vault", "latest").ends(cli.ExitRefused, "Cannot cancel a backfill that is in 'Cancelled' status")
	w.run("backfills", "get", "to the vault", uuid.NewString()).ends(cli.ExitNotFound, `"to the vault" has no backfill with the id`)
}

func TestBoundsOfADailyExportAreDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("exports", "create", "-f", w.file("daily.yaml",
		"{name: daily, interval: day, timezone: Europe/Berlin, offset_hour: 3, destination: {type: File, config: {}}}")).ends(cli.ExitOK)
	preview := func(bounds ...string) printout {
		return w.run(append([]string{"backfills", "create", "daily", "--dry-run"}, bounds...)...)
	}
	require.Contains(t, preview("--start", "-2d").ends(cli.ExitOK).out, "2026-05-04 03:00 – 2026-05-06 03:00 Europe/Berlin")
	require.Contains(t, preview("--start", "2026-05-01", "--end", "2026-05-02T03:00").ends(cli.ExitOK).out, "2026-05-01 03:00 – 2026-05-02 03:00 Europe/Berlin")
	preview("--start", "2026-05-01T04:00").ends(cli.ExitUsage, "is not where an interval begins: give its date")
}

func TestWatchingEndsWithTheBackfill(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status  batch.BackfillStatus
		failure string
		code    int
		out     string
		err     string
	}{
		"completed": {batch.BackfillCompleted, "", cli.ExitOK, "Completed: 1 interval delivered, 5 rows, 7 B, in 1m30s.\n", "Completed: 24 of 24 intervals"},
		"failed": {
			batch.BackfillFailed, "the bucket refused", cli.ExitEndedBadly, "Failed: 1 interval delivered, 5 rows, 7 B, in 1m30s.\n",
			"the backfill ended Failed: the bucket refused",
		},
		"cancelled": {batch.BackfillCancelled, "", cli.ExitEndedBadly, "Cancelled: 1 interval delivered, 5 rows, 7 B, in 1m30s.\n", "the backfill ended Cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.export()
			b := w.backfillOf(e)
			rows, bytes := int64(5), int64(7)
			w.runOf(e, 20, func(r *batch.Run) {
				r.Status, r.BackfillID, r.RowsCompleted, r.Bytes = batch.RunCompleted, &b.ID, &rows, &bytes
			})
			done := make(chan printout)
			go func() { done <- w.run("backfills", "watch", "to the vault", "latest") }()
			w.end(b, tt.status, tt.failure)
			p := <-done
			require.Equal(t, tt.code, p.code, p.err)
			require.Equal(t, tt.out, p.out)
			if tt.code != cli.ExitOK {
				require.Contains(t, p.err, tt.err)
			}
		})
	}
}

func TestABarIsDrawnOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.width = 100
	e := w.export()
	b := w.backfillOf(e)
	rows := int64(1000)
	for hours := range 6 {
		w.runOf(e, 20+hours, func(r *batch.Run) { r.Status, r.BackfillID, r.RowsCompleted = batch.RunCompleted, &b.ID, &rows })
	}
	p := w.interruptedAt("6,000 rows", "backfills", "watch", "to the vault", "latest")
	require.Equal(t, cli.ExitInterrupted, p.code)
	require.Contains(t, p.err, "\r\x1b[K[######..................]  25% Starting: 6 of 24 intervals, 6,000 rows")
	require.Contains(t, p.err, "no longer watching; the backfill goes on\n  To end it: tranche backfills cancel 'to the vault' "+b.ID.String())
	for _, drawn := range strings.Split(p.err, "\r\x1b[K") {
		require.Less(t, len([]rune(strings.SplitN(drawn, "no longer", 2)[0])), 100, "the bar fits on one line")
	}
}

// interruptedAt runs a command and interrupts it when it has printed the text.
func (w *world) interruptedAt(text string, args ...string) printout {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	before := w.printed
	w.printed = func(all string) {
		if before != nil {
			before(all)
		}
		if strings.Contains(all, text) {
			stop()
		}
	}
	return w.runWith(ctx, args...)
}

func (w *world) says(e batch.Export, run *uuid.UUID, at time.Duration, level batch.LogLevel, text string) {
	w.t.Helper()
	entry := batch.LogEntry{TeamID: 1, ExportID: e.ID, Timestamp: start.Add(at), Level: level, Message: text}
	if run != nil {
		entry.RunID = *run
	}
	require.NoError(w.t, w.db.AppendLogs(w.t.Context(), []batch.LogEntry{entry}))
}

func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	r := w.runOf(e, 1, nil)
	w.run("logs", "to the vault").ends(cli.ExitOK).prints("No such entries.\n")
	w.says(e, nil, time.Second, batch.LogWarning, "Paused,\nsince it failed.")
	w.says(e, &r.ID, 2*time.Second, batch.LogInfo, "Uploaded \x1b[2J part 1.")
	w.says(e, &r.ID, 3*time.Second, batch.LogError, "Nothing answers.")
	short := r.ID.String()[:8]
	w.run("logs", "to the vault").ends(cli.ExitOK).prints(`
2026-05-06 07:08:10 WARNING Paused, since it failed.
2026-05-06 07:08:11 INFO    ` + short + ` Uploaded �[2J part 1.
2026-05-06 07:08:12 ERROR   ` + short + ` Nothing answers.
`)
	w.run("runs", "logs", "to the vault", "latest", "--level", "info", "--zone", "Europe/Berlin").ends(cli.ExitOK).
		prints("2026-05-06 09:08:11 INFO    Uploaded �[2J part 1.\n")
	w.run("logs", "to the vault", "--since", "2026-05-06T07:08:11", "--search", "NOTHING").ends(cli.ExitOK).
		prints("2026-05-06 07:08:12 ERROR   " + short + " Nothing answers.\n")
	w.run("logs", "to the vault", "--limit", "1").ends(cli.ExitOK).prints("2026-05-06 07:08:12 ERROR   " + short + " Nothing answers.\n")
	w.run("logs", "to the vault", "--since", "soon").ends(cli.ExitUsage, `--since "soon" is no time`)
	require.Contains(t, w.run("logs", "to the vault", "-o", "json").ends(cli.ExitOK).out, `"message": "Nothing answers."`)
}

func TestFollowingARunEndsWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	r := w.runOf(e, 1, nil)
	w.says(e, &r.ID, 0, batch.LogInfo, "Began.")
	done := make(chan printout)
	go func() { done <- w.run("runs", "logs", "to the vault", "latest", "-f") }()
	_, err := w.db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = batch.RunCompleted; return nil })
	require.NoError(t, err)
	w.says(e, &r.ID, time.Second, batch.LogInfo, "Ended.")
	p := <-done
	p.ends(cli.ExitOK)
	require.Contains(t, p.out, "Began.")
}

func TestFollowingAnExportEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.says(e, nil, 0, batch.LogInfo, "One.")
	once := sync.OnceFunc(func() { w.says(e, nil, time.Second, batch.LogInfo, "Two.") })
	w.printed = func(all string) {
		if strings.Contains(all, `"message":"One."`) {
			once()
		}
	}
	p := w.interruptedAt("Two.", "logs", "to the vault", "-f", "-o", "json").ends(cli.ExitOK)
	require.Equal(t, 1, strings.Count(p.out, "One."))
	require.Equal(t, 2, strings.Count(p.out, "\n"))
}

func TestFollowingARunEndsWithCtrlCAndTheRunGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	r := w.runOf(e, 1, nil)
	w.says(e, &r.ID, 0, batch.LogInfo, "Began.")
	p := w.interruptedAt("Began.", "runs", "logs", "to the vault", "latest", "-f")
	p.ends(cli.ExitInterrupted, "no longer following; the run goes on")
	require.Contains(t, w.run("runs", "get", "to the vault", "latest").ends(cli.ExitOK).out, "Running")
}

// Everything that follows and watches outlasts an API that restarts: it says so, and goes on where it was.
func TestFollowingOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.says(e, nil, 0, batch.LogInfo, "One.")
	var away atomic.Bool
	base, err := url.Parse(w.env["TRANCHE_URL"])
	require.NoError(t, err)
	api := httputil.NewSingleHostReverseProxy(base)
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if away.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		api.ServeHTTP(rw, r)
	}))
	t.Cleanup(proxy.Close)
	w.env["TRANCHE_URL"] = proxy.URL
	leave := sync.OnceFunc(func() { away.Store(true) })
	back := sync.OnceFunc(func() { w.says(e, nil, time.Second, batch.LogInfo, "Two."); away.Store(false) })
	w.printed = func(all string) {
		if strings.Contains(all, "One.") {
			leave()
		}
		if strings.Contains(all, "still trying") {
			back()
		}
	}
	p := w.interruptedAt("Two.", "logs", "to the vault", "-f")
	require.Equal(t, cli.ExitOK, p.code, p.err)
	require.Contains(t, p.err, "; still trying\ntranche: the API answers again\n")
	require.Equal(t, 1, strings.Count(p.out, "One."))
	require.Equal(t, 1, strings.Count(p.out, "Two."))
}
