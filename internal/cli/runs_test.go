package cli_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/cli"
)

// past gives the export runs of every kind that people look for.
func (w *world) past(e batch.Export) (failed batch.Run) {
	w.t.Helper()
	ended := func(status batch.RunStatus, rows, bytes int64, text string) func(*batch.Run) {
		return func(r *batch.Run) {
			at := w.clock().Add(83 * time.Second)
			r.Status, r.RowsCompleted, r.RowsTotal, r.Bytes, r.LatestError, r.FinishedAt = status, &rows, &rows, &bytes, text, &at
		}
	}
	w.runOf(e, 4, ended(batch.RunCompleted, 12_345, 6_789_012, ""))
	w.pass(time.Second)
	failed = w.runOf(e, 3, ended(batch.RunFailed, 0, 0, "the bucket \"b\"\nrefused our credentials"))
	w.pass(time.Second)
	w.runOf(e, 1, func(r *batch.Run) {
		next := w.clock().Add(time.Hour + 30*time.Second)
		r.Attempt, r.LatestError, r.NextRetryAt = 3, "the store does not answer", &next
	})
	w.pass(time.Hour)
	return failed
}

func TestTheListOfRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.run("runs", "list", "to the vault").ends(cli.ExitOK).prints("No such runs of \"to the vault\".\n")
	w.past(e)
	w.run("runs", "list", "to the vault").ends(cli.ExitOK).prints(`
INTERVAL (UTC)            STATUS            ROWS   BYTES   TOOK  BEGAN   RUN
2026-05-06 06:00 – 07:00  Running, try 3       -       -  1h00m  1h ago  <id>  next try in 30s; the store does not answer
2026-05-06 04:00 – 05:00  Failed               0     0 B  1m23s  1h ago  <id>  the bucket "b" refused our credentials
2026-05-06 03:00 – 04:00  Completed       12,345  6.8 MB  1m23s  1h ago  <id>
`)
	w.run("runs", "list", "to the vault", "--status", "failed,completed", "--limit", "1", "--zone", "Asia/Kolkata").ends(cli.ExitOK).prints(`
INTERVAL (Asia/Kolkata)   STATUS  ROWS  BYTES   TOOK  BEGAN   RUN
2026-05-06 09:30 – 10:30  Failed     0    0 B  1m23s  1h ago  <id>  the bucket "b" refused our credentials
There are more: --limit 4, or 0 for all.
`)
	w.run("runs", "list", "to the vault", "--by-interval", "--start", "2026-05-06T06:00:00Z").ends(cli.ExitOK).prints(`
INTERVAL (UTC)            STATUS          ROWS  BYTES   TOOK  BEGAN   RUN
2026-05-06 06:00 – 07:00  Running, try 3     -      -  1h00m  1h ago  <id>  next try in 30s; the store does not answer
`)
	w.width = 110
	w.env["TERM"] = "xterm"
	require.Contains(t, w.run("runs", "list", "to the vault").ends(cli.ExitOK).out, "\x1b[31mFailed\x1b[0m")
	w.env["NO_COLOR"] = "1"
	narrow := w.run("runs", "list", "to the vault").ends(cli.ExitOK).out
	require.NotContains(t, narrow, "\x1b")
	require.Contains(t, narrow, "the bucket \"b\" refu…", "the last column is cut to the terminal")
}

func TestARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	failed := w.past(e)
	w.run("runs", "get", "to the vault", failed.ID.String()).ends(cli.ExitOK).prints(`
Run       <id>
Interval  2026-05-06 04:00 – 05:00 UTC
Status    Failed
Rows      0 of 0
Bytes     0 B
Began     2026-05-06 07:08:10 (1h ago)
Took      1m23s
Attempt   1
Problem   the bucket "b" refused our credentials
`)
	w.run("runs", "get", "to the vault", uuid.NewString()).ends(cli.ExitNotFound, `"to the vault" has no run with the id`)
	w.run("runs", "cancel", "to the vault", failed.ID.String()).ends(cli.ExitRefused, "Cannot cancel a run that is in 'Failed' status")
	w.run("runs", "cancel", "to the vault", "latest").ends(cli.ExitOK).prints("Run <id> is being cancelled.\n")
	w.run("runs", "retry", "to the vault", failed.ID.String()).ends(cli.ExitOK).
		prints("Started backfill <id>. See it with: tranche backfills watch 'to the vault' <id>\n")
	w.run("runs", "retry", "to the vault", failed.ID.String(), "-o", "json").ends(cli.ExitRefused, "A backfill of exactly this range is running already.")
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.past(e)
	w.run("coverage", "to the vault", "--start", "2026-05-06T04:00", "--end", "2026-05-06T07:00").ends(cli.ExitOK).prints(`
FROM – TO (UTC)           STATUS   INTERVALS  ROWS  BYTES
2026-05-06 04:00 – 05:00  failed           1     -      -  the bucket "b" refused our credentials
2026-05-06 05:00 – 06:00  missing          1     -      -
2026-05-06 06:00 – 07:00  running          1     -      -
3 intervals: 1 running, 1 failed, 1 missing.
`)
	w.run("coverage", "to the vault", "--start", "2026-05-06T05:00", "--end", "2026-05-06T07:00", "--each", "--only", "missing").ends(cli.ExitOK).prints(`
FROM – TO (UTC)           STATUS   INTERVALS  ROWS  BYTES
2026-05-06 05:00 – 06:00  missing          1     -      -
2 intervals: 1 running, 1 missing.
`)
	w.run("coverage", "to the vault", "--start", "-3h", "--check").ends(cli.ExitEndedBadly, "To deliver what is missing: tranche coverage fill 'to the vault'")
	w.run("coverage", "fill", "to the vault", "--start", "2026-05-06T04:00", "--end", "2026-05-06T07:00").ends(cli.ExitOK).prints(`
Backfills started: 1, for 2 intervals.
FROM – TO (UTC)           INTERVALS  BACKFILL
2026-05-06 04:00 – 06:00          2  <id>
See them with: tranche backfills list 'to the vault'
`)
}
