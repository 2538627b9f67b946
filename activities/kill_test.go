package activities_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations/s3"
	"tranche/internal/miniotest"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

var store miniotest.Server

// victimVariable tells the test's program to be a worker that dies.
const victimVariable = "TRANCHE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if text := os.Getenv(victimVariable); text != "" {
		fmt.Fprintln(os.Stderr, runVictim(text)) // it should have died
		os.Exit(1)
	}
	os.Exit(store.Run(m))
}

// A victim is a worker in a process of its own, which does one activity and is killed at a step.
type victim struct {
	Database string
	Key      string
	Run      uuid.UUID
	Activity string // "stage" or "commit"
	Step     string // of the protocol in the database; empty = somebody else kills it
}

func runVictim(text string) error {
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	db, err := openVictims(v.Database, v.Key)
	if err != nil {
		return err
	}
	w := workerOn(db, func(step string) error {
		if step == v.Step {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	return w.do(v.Activity, v.Run)
}

func openVictims(path, key string) (*storage.DB, error) {
	keys, err := storage.ParseMasterKeys(key)
	if err != nil {
		return nil, err
	}
	sealer, err := storage.NewSealer(keys...)
	if err != nil {
		return nil, err
	}
	return sqlite.Open(context.Background(), path, sealer)
}

// A crime is what happens to one run of an export to a bucket, in a database that processes share.
type crime struct {
	*testing.T
	bucket   miniotest.Bucket
	database string
	key      string
	db       *storage.DB
	run      batch.Run
	survivor *worker

	mu     sync.Mutex
	begun  map[string]bool // the keys of uploads
	blow   *blow           // nil = none is planned
	victim *os.Process
}

// A blow kills the victim at a request to the store.
type blow struct {
	method, query string // what the request has
	key           string // what its key ends in
	when          moment
}

// A moment is when in a request the victim dies.
type moment int

const (
	before moment = iota // the store never hears of the request
	during               // when some of it has arrived
	after                // the store has done it, and nobody hears the answer
)

func newCrime(t *testing.T) *crime {
	t.Helper()
	c := &crime{
		T: t, bucket: store.Bucket(t), database: filepath.Join(t.TempDir(), "tranche.db"),
		key: "test:" + strings.Repeat("A", 43) + "=", begun: map[string]bool{},
	}
	var err error
	c.db, err = openVictims(c.database, c.key)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.db.Close()) })
	require.NoError(t, c.db.Migrate(t.Context()))
	c.survivor = workerOn(c.db, func(string) error { return nil })
	c.begin(c.proxy())
	return c
}

// begin makes the run, with its plan, of an export that reaches the bucket at the endpoint.
func (c *crime) begin(endpoint string) {
	c.Helper()
	config, err := s3.Compatible(s3.Server{}).Parse(map[string]any{
		"bucket_name": c.bucket.Name, "region": miniotest.Region, "prefix": "exports", "endpoint_url": endpoint,
		"aws_access_key_id": c.bucket.AccessKeyID, "aws_secret_access_key": c.bucket.SecretAccessKey,
	}, nil)
	require.NoError(c, err)
	e := storagetest.Export()
	e.Destination = batch.Destination{Type: s3.TypeCompatible, Config: config}
	require.NoError(c, c.db.CreateExport(c.Context(), e))
	c.run = storagetest.Run(e, interval)
	_, _, err = c.db.BeginRun(c.Context(), c.run)
	require.NoError(c, err)
	_, err = c.survivor.env.ExecuteActivity(c.survivor.activities.Plan, activities.RunInput{RunID: c.run.ID, Generation: 1})
	require.NoError(c, err)
}

// proxy stands between workers and the store, notes the keys of uploads, and strikes.
func (c *crime) proxy() string {
	c.Helper()
	u, err := url.Parse(c.bucket.Endpoint)
	require.NoError(c, err)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // the signature is good for it
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the dead hear nothing
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.URL.Path, "/"+c.bucket.Name+"/")
		c.mu.Lock()
		if r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
			c.begun[key] = true
		}
		b := c.blow
		if b != nil && (b.method != r.Method || !r.URL.Query().Has(b.query) || !strings.HasSuffix(key, b.key)) {
			b = nil
		}
		c.mu.Unlock()
		if b == nil {
			forward.ServeHTTP(w, r)
			return
		}
		switch b.when {
		case before:
			c.strike()
			return
		case during:
			head := make([]byte, bulkBytes)
			n, _ := io.ReadFull(r.Body, head) // less is more than enough
			c.strike()
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(head[:n]), r.Body))
			forward.ServeHTTP(w, r)
		case after:
			forward.ServeHTTP(httptest.NewRecorder(), r)
			c.strike()
		}
	}))
	c.Cleanup(server.Close)
	return server.URL
}

// strike kills the victim, once.
func (c *crime) strike() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blow = nil; c.victim != nil {
		_ = c.victim.Kill() // it has ended otherwise, which dies reports
	}
}

// dies does the activity in a process of its own, and returns when that was killed: by itself before a step, or by a
// blow.
func (c *crime) dies(activity, step string, b *blow) {
	c.Helper()
	text, err := json.Marshal(victim{Database: c.database, Key: c.key, Run: c.run.ID, Activity: activity, Step: step})
	require.NoError(c, err)
	program, err := os.Executable()
	require.NoError(c, err)
	var output bytes.Buffer
	process := exec.CommandContext(c.Context(), program)
	process.Env = append(os.Environ(), victimVariable+"="+string(text))
	process.Stdout, process.Stderr = &output, &output
	c.mu.Lock()
	require.NoError(c, process.Start())
	c.blow, c.victim = b, process.Process
	c.mu.Unlock()
	var exit *exec.ExitError
	require.ErrorAs(c, process.Wait(), &exit)
	require.Equal(c, "signal: killed", exit.String(), output.String())
}

// sees returns the keys that a reader sees.
func (c *crime) sees() []string {
	c.Helper()
	objects, err := c.bucket.Objects(c.Context())
	require.NoError(c, err)
	keys := []string{}
	for key := range objects {
		keys = append(keys, key)
	}
	return keys
}

// deliversOnce lets another worker go on, and requires one copy and no litter.
func (c *crime) deliversOnce(from string) {
	c.Helper()
	for _, activity := range []string{"stage", "commit", "finish"} {
		if activity == from {
			from = ""
		}
		if from == "" {
			require.Eventually(c, func() bool { return c.survivor.do(activity, c.run.ID) == nil }, time.Minute, 100*time.Millisecond, activity)
		}
	}
	const key = "exports/2026-03-01T10:00:00+00:00-2026-03-01T11:00:00+00:00"
	require.ElementsMatch(c, []string{key + ".jsonl", key + "_manifest.json"}, c.sees())
	body, err := c.bucket.Read(c.Context(), key+".jsonl")
	require.NoError(c, err)
	require.Equal(c, bulkRows, bytes.Count(body, []byte("\n")))
	sweeper := &activities.Sweeper{Activities: c.survivor.activities, Store: c.db, Grace: -time.Hour}
	require.NoError(c, sweeper.Sweep(c.Context()))
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.begun {
		left, err := c.bucket.Uploads(c.Context(), key)
		require.NoError(c, err)
		require.Empty(c, left)
	}
	refs, err := c.db.DanglingRefs(c.Context(), time.Now().Add(time.Hour), 100)
	require.NoError(c, err)
	require.Empty(c, refs)
}

func TestAWorkerThatIsKilledAtAnyPointLeavesOneCopyInABucket(t *testing.T) {
	t.Parallel()
	const data, manifest = ".jsonl", "_manifest.json"
	for name, c := range map[string]struct {
		activity string
		step     string
		blow     *blow
		visible  int // objects, once it has died
	}{
		"before stage": {"stage", "", &blow{http.MethodPost, "uploads", manifest, before}, 0},
		"when the fence is begun, before the upload is": {"stage", "", &blow{http.MethodPost, "uploads", data, before}, 0},
		"mid-part":                                        {"stage", "", &blow{http.MethodPut, "partNumber", data, during}, 0},
		"when a part is sent":                             {"stage", "", &blow{http.MethodPut, "partNumber", data, after}, 0},
		"after stage, before the receipt":                 {"stage", "receipt", nil, 0},
		"before commit":                                   {"commit", "lease", nil, 0},
		"after the fence":                                 {"commit", "fenced", nil, 0},
		"in commit, when the manifest is sent":            {"commit", "", &blow{http.MethodPut, "partNumber", manifest, after}, 0},
		"in commit, before the upload is completed":       {"commit", "", &blow{http.MethodPost, "uploadId", data, before}, 0},
		"in commit, when the upload is completed":         {"commit", "", &blow{http.MethodPost, "uploadId", data, after}, 1},
		"in commit, before the manifest":                  {"commit", "", &blow{http.MethodPost, "uploadId", manifest, before}, 1},
		"in commit, when the manifest is there":           {"commit", "", &blow{http.MethodPost, "uploadId", manifest, after}, 2},
		"after commit, before it is recorded":             {"commit", "record", nil, 2},
		"after commit is recorded, before it is reported": {"commit", "recorded", nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene := newCrime(t)
			if c.activity == "commit" {
				require.NoError(t, scene.survivor.do("stage", scene.run.ID))
			}
			scene.dies(c.activity, c.step, c.blow)
			require.Len(t, scene.sees(), c.visible)
			scene.deliversOnce(c.activity)
		})
	}
}
