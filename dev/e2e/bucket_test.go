package e2e

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/internal/miniotest"
)

// store is shared; each test has a bucket of its own.
var store miniotest.Server

// bucketExport is fileExport for a bucket.
func bucketExport(b miniotest.Bucket, interval string) map[string]any {
	plant(b.SecretAccessKey)
	settings := fileExport("to a bucket", interval, "")
	settings["destination"] = map[string]any{"type": "S3Compatible", "config": map[string]any{
		"bucket_name": b.Name, "region": miniotest.Region, "endpoint_url": b.Endpoint, "prefix": "days/{year}",
		"aws_access_key_id": b.AccessKeyID, "aws_secret_access_key": b.SecretAccessKey,
		"file_format": "JSONLines", "compression": "gzip",
	}}
	return settings
}

// download writes what a reader of the bucket sees into a folder, and checks that it is whole.
func download(t *testing.T, b miniotest.Bucket) delivered {
	t.Helper()
	objects, err := b.Objects(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	for key, body := range objects {
		path := filepath.Join(dir, filepath.FromSlash(key))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, body, 0o600))
	}
	return readDelivered(t, dir)
}

// passes runs a step of the connection test of a draft.
func (c *caller) passes(draft map[string]any, step int) {
	c.t.Helper()
	body := map[string]any{"step": step}
	for key, value := range draft {
		body[key] = value
	}
	var done struct {
		Name   string
		Result struct{ Status, Message string }
	}
	c.do(http.MethodPost, exports+"/run_test_step_new", body, &done)
	require.Equal(c.t, "Passed", done.Result.Status, "%s: %s", done.Name, done.Result.Message)
}

func TestABackfillToABucketSurvivesKills(t *testing.T) {
	t.Parallel()
	b := store.Bucket(t)
	events, dir := daily(newEventMaker(7)), t.TempDir()
	dev := startDev(t, dir, "--load", writeJSONLines(t, "days.jsonl", events))
	draft := bucketExport(b, "day")
	for step := range 2 {
		dev.passes(draft, step)
	}
	export := dev.create(draft)
	backfill := dev.backfillDays(export)
	for _, runs := range []int{5, 40} {
		dev.progress(export, runs)
		dev.Kill()
		dev = startDev(t, dir)
	}
	dev.completed(export, backfill, workPatience)
	found := download(t, b)
	require.Len(t, found.manifests, ninetyDays)
	found.requireEvents(t, events)
	for _, r := range dev.runs(export) {
		require.Equal(t, "Completed", r.Status)
		m, ok := found.manifestOf(r.End)
		require.True(t, ok)
		require.Equal(t, r.ID, m.Run)
	}
	requireNoUploads(t, b, found)

	run := dev.runs(export)[40]
	var again struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	dev.do(http.MethodPost, at(export)+"/runs/"+run.ID.String()+"/retry", nil, &again)
	dev.completed(export, again.ID, workPatience)
	found = download(t, b)
	require.Len(t, found.manifests, ninetyDays)
	found.requireEvents(t, events)
	m, ok := found.manifestOf(run.End)
	require.True(t, ok)
	require.NotEqual(t, run.ID, m.Run, "the retry's run has delivered")

	code, _ := dev.terminate()
	require.Zero(t, code)
	requireNowhere(t, dir, b.SecretAccessKey)
	require.NotContains(t, dev.stderr.String(), b.SecretAccessKey)
}

// requireNoUploads waits until no upload is left of any day, but for the empty one of a process that dies between the
// store's answer and its journal: that is left to a rule of the bucket.
func requireNoUploads(t *testing.T, b miniotest.Bucket, found delivered) {
	t.Helper()
	var keys []string
	for key := range found.files {
		keys = append(keys, key)
	}
	for _, m := range found.manifests {
		keys = append(keys, manifestKey(m))
	}
	until(t, workPatience, "an end of uploads", func() bool {
		left, err := b.Filled(t.Context(), keys...)
		require.NoError(t, err)
		return len(left) == 0
	})
}

// manifestKey is where the manifest of a day is.
func manifestKey(m manifest) string {
	const suffix = ".jsonl.gz"
	return m.Files[0][:len(m.Files[0])-len(suffix)] + "_manifest.json"
}

// requireNowhere searches all that the embedded stack keeps on the disk.
func requireNowhere(t *testing.T, dir, secret string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		require.False(t, bytes.Contains(content, []byte(secret)), path)
		return err
	}))
}
