package file_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
)

func TestParseRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		root   string
		config map[string]any
		err    string
	}{
		"a server without a folder": {"", map[string]any{}, "This server has no folder for files: its TRANCHE_FILE_ROOT is not set"},
		"dots that lead out":        {"/x", map[string]any{"prefix": "a/../../b"}, "'prefix' may not leave the folder of exports by '..'"},
		"dots that stay inside":     {"/x", map[string]any{"prefix": "a/.."}, "'prefix' may not leave the folder of exports by '..'"},
		"the staging folder":        {"/x", map[string]any{"prefix": ".staging/a"}, "'prefix' may not be in '.staging', where files are prepared"},
		"the staging folder in disguise": {
			"/x",
			map[string]any{"prefix": "/./.STAGING"},
			"'prefix' may not be in '.staging', where files are prepared",
		},
		"a folder whose name no file system takes": {
			"/x",
			map[string]any{"prefix": "a/" + strings.Repeat("b", 129)},
			"'prefix' is longer than 512 bytes, or one of its folders has a name of more than 128",
		},
		"more folders than a path may have": {
			"/x",
			map[string]any{"prefix": strings.Repeat("a/", 257)},
			"'prefix' is longer than 512 bytes, or one of its folders has a name of more than 128",
		},
		"a character that names cannot have": {"/x", map[string]any{"prefix": "a\x00b"}, "'prefix' has a character that names of files cannot have"},
		"a format that is not there": {
			"/x",
			map[string]any{"file_format": "XLS"},
			"File format XLS is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']",
		},
		"JSONLines with zstd": {
			"/x",
			map[string]any{"compression": "zstd"},
			"Compression zstd is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']",
		},
		"a size of half a file": {"/x", map[string]any{"max_file_size_mb": 0.5}, "Configuration has invalid type: got 'float', expected 'int'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := file.Plugin(file.Server{Root: c.root}).Parse(c.config, nil)
			require.EqualError(t, err, c.err)
			require.ErrorAs(t, err, new(*destinations.ConfigError))
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	p := file.Plugin(file.Server{Root: "/x"})
	config, err := p.Parse(map[string]any{}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"prefix": "", "file_format": "JSONLines", "compression": nil, "max_file_size_mb": nil, "exclude_events": nil, "include_events": nil,
	}, config)
	require.Equal(t, 1, p.MaxSplits(config))
	config["max_file_size_mb"] = 0
	require.Equal(t, 1, p.MaxSplits(config))
	config["max_file_size_mb"] = 1
	require.Equal(t, 64, p.MaxSplits(config))
}

// A ledger is a journal that a test can look at.
type ledger struct{ refs []destinations.Ref }

// Record is the destinations.Journal's.
func (l *ledger) Record(_ context.Context, ref destinations.Ref) error {
	l.refs = append(l.refs, ref)
	return nil
}

func newRun() destinations.Run {
	start := time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC)
	return destinations.Run{
		ID: uuid.New(), ExportID: uuid.New(), TeamID: 1, Model: batch.ModelEvents, Generation: 1,
		Interval: batch.Interval{Start: start, End: start.Add(time.Hour)},
	}
}

const name = "2024-01-02T03:00:00+00:00-2024-01-02T04:00:00+00:00"

// stage stages one row.
func stage(t *testing.T, d destinations.Destination, run destinations.Run) ([]destinations.Receipt, error) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "uuid", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).Append("one")
	rows := b.NewRecordBatch()
	defer rows.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{rows})
	require.NoError(t, err)
	defer reader.Release()
	l := &ledger{}
	receipt, err := d.Stage(t.Context(), destinations.Job{Run: run, Splits: 1, Attempt: 1, Journal: l}, reader)
	for _, ref := range l.refs {
		require.Equal(t, destinations.Ref(".staging/"+run.ID.String()+"/1"), ref)
	}
	return []destinations.Receipt{receipt}, err
}

func TestManifestAndFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, run := open(t, root, map[string]any{"prefix": "{table}/{hour}"}), newRun()
	receipts, err := stage(t, d, run)
	require.NoError(t, err)
	published, err := d.Commit(t.Context(), run, receipts, nil)
	require.NoError(t, err)
	require.Equal(t, "events/04/"+name+"_manifest.json", published.Manifest)
	body, err := os.ReadFile(filepath.Join(root, published.Manifest))
	require.NoError(t, err)
	var manifest map[string]any
	require.NoError(t, json.Unmarshal(body, &manifest))
	require.Equal(t, []any{"events/04/" + name + ".jsonl"}, manifest["files"])
	require.Equal(t, run.ID.String(), manifest["run_id"])
	body, err = os.ReadFile(filepath.Join(root, "events/04", name+".jsonl"))
	require.NoError(t, err)
	require.True(t, bytes.Equal([]byte("{\"uuid\":\"one\"}\n"), body), "got %s", body)
}

func TestPrefixThatIsNoTemplateIsAWarning(t *testing.T) {
	t.Parallel()
	d, run := open(t, t.TempDir(), map[string]any{"prefix": "{nobody}"}), newRun()
	receipts, err := stage(t, d, run)
	require.NoError(t, err)
	published, err := d.Commit(t.Context(), run, receipts, nil)
	require.NoError(t, err)
	require.Equal(t, "{nobody}/"+name+".jsonl", published.Objects[0].Key)
	require.Len(t, published.Warnings, 1)
}

func TestCommitFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prefix  string
		prepare func(t *testing.T, root string, run destinations.Run, r []destinations.Receipt)
		code    batch.Code
		message string
	}{
		"a link that leads out": {"link", func(t *testing.T, root string, _ destinations.Run, _ []destinations.Receipt) {
			t.Helper()
			require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(root, "link")))
		}, batch.CodeConfig, "leads out of the folder of exports"},
		"a link above that leads out": {"link/below", func(t *testing.T, root string, _ destinations.Run, _ []destinations.Receipt) {
			t.Helper()
			require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(root, "link")))
		}, batch.CodeConfig, "leads out of the folder of exports"},
		"a file where a folder must be": {"a/b", func(t *testing.T, root string, _ destinations.Run, _ []destinations.Receipt) {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(root, "a"), nil, 0o600))
		}, batch.CodeConfig, "a file is where a folder must be"},
		"a folder where the file must be": {"a", func(t *testing.T, root string, _ destinations.Run, r []destinations.Receipt) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Join(root, r[0].Objects[0].Key, "x"), 0o750))
		}, batch.CodeConfig, "a folder is where the file must be"},
		"another number of bytes": {"", func(_ *testing.T, _ string, _ destinations.Run, r []destinations.Receipt) {
			r[0].Objects[0].Bytes = 999
		}, batch.CodeVerification, "has 15 bytes, 999 were written"},
		"a staged file that is gone": {"", func(t *testing.T, root string, run destinations.Run, _ []destinations.Receipt) {
			t.Helper()
			require.NoError(t, os.RemoveAll(filepath.Join(root, ".staging", run.ID.String(), "1", "0-1")))
		}, batch.CodeSuperseded, "another run of the interval took over"},
		"a receipt that points elsewhere": {"", func(_ *testing.T, _ string, _ destinations.Run, r []destinations.Receipt) {
			r[0].Objects[0].Ref = json.RawMessage(`{"path":"../../x"}`)
		}, batch.CodeInternal, "names no staged file"},
		"a receipt with a key elsewhere": {"", func(_ *testing.T, _ string, _ destinations.Run, r []destinations.Receipt) {
			r[0].Objects[0].Key = "../x"
		}, batch.CodeConfig, "leads out of the folder of exports"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, run := open(t, root, map[string]any{"prefix": c.prefix}), newRun()
			receipts, err := stage(t, d, run)
			require.NoError(t, err)
			c.prepare(t, root, run, receipts)
			_, err = d.Commit(t.Context(), run, receipts, nil)
			require.Equal(t, c.code, batch.CodeOf(err), "%v", err)
			require.Contains(t, batch.MessageOf(err), c.message)
			require.NotContains(t, batch.MessageOf(err), root)
		})
	}
}

func TestRootThatIsGone(t *testing.T) {
	t.Parallel()
	p := file.Plugin(file.Server{Root: filepath.Join(t.TempDir(), "gone")})
	config, err := p.Parse(map[string]any{}, nil)
	require.NoError(t, err)
	_, err = p.Open(t.Context(), config)
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "it may be mounted elsewhere, and will be here")
	require.Equal(t, "the folder of exports cannot be opened: the operator of this server must make it, or mount it, for all workers", batch.MessageOf(err))
}

func TestAbortTakesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := open(t, root, map[string]any{})
	kept := filepath.Join(root, "kept", "1")
	require.NoError(t, os.MkdirAll(kept, 0o750))
	for _, ref := range []destinations.Ref{"kept/1", ".staging", "", "..", ".staging/../kept/1", ".staging/x/1"} {
		require.Error(t, d.Abort(t.Context(), []destinations.Ref{ref}), ref)
	}
	require.DirExists(t, kept)
	run := newRun()
	_, err := stage(t, d, run)
	require.NoError(t, err)
	second := run
	second.Generation = 2
	require.NoError(t, os.MkdirAll(filepath.Join(root, ".staging", run.ID.String(), "2"), 0o750))
	require.NoError(t, d.Abort(t.Context(), []destinations.Ref{destinations.Ref(".staging/" + run.ID.String() + "/1")}))
	require.DirExists(t, filepath.Join(root, ".staging", run.ID.String(), "2"))
}

func TestAnEarlierAttemptCannotComeBack(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, run := open(t, root, map[string]any{}), newRun()
	require.NoError(t, os.MkdirAll(filepath.Join(root, ".staging", run.ID.String(), "1", "0-2"), 0o750))
	_, err := stage(t, d, run)
	require.Equal(t, batch.CodeSuperseded, batch.CodeOf(err))
}

func TestWhatAnotherProcessFencedIsRemoved(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := open(t, root, map[string]any{})
	require.NoError(t, os.MkdirAll(filepath.Join(root, ".staging", ".fenced-by-the-dead", "x"), 0o750))
	require.NoError(t, d.Abort(t.Context(), []destinations.Ref{destinations.Ref(".staging/" + uuid.NewString() + "/1")}))
	names, err := staged(root)
	require.NoError(t, err)
	require.Empty(t, names)
}
