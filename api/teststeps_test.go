package api_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
)

// A probeConfig is what the steps of the destination Probe find.
type probeConfig struct {
	Password string `json:"password" required:"true" secret:"true"`
	Open     bool   `json:"open" default:"true"`
	Count    int    `json:"count"`
}

// probe describes a destination that has a step for each way to end.
func probe() destinations.Plugin {
	return destinations.Define(destinations.Definition[probeConfig]{
		Type: "Probe", Guarantee: destinations.ExactlyOnce,
		Steps: []destinations.Step{{Name: "pass"}, {Name: "fail"}, {Name: "skip"}, {Name: "unknown"}, {Name: "panic"}, {Name: "absent"}, {Name: "count"}},
		Open: func(_ context.Context, c probeConfig) (destinations.Destination, error) {
			if !c.Open {
				return nil, batch.Errorf(batch.CodeCredentials, nil, "the password %s is wrong", c.Password)
			}
			return opened{config: c}, nil
		},
	})
}

type opened struct {
	destinations.Destination
	config probeConfig
}

func (o opened) Checks() []destinations.Check {
	check := func(name string, run func(context.Context) error) destinations.Check {
		return destinations.Check{Name: name, Run: run}
	}
	return []destinations.Check{
		check("panic", func(context.Context) error { panic(o.config.Password) }),
		check("unknown", func(context.Context) error { return errors.New("at 10.0.0.1 with " + o.config.Password) }),
		check("skip", func(context.Context) error { return &destinations.SkippedError{Reason: "No role, skipping test"} }),
		check("fail", func(context.Context) error {
			return batch.Errorf(batch.CodePermission, nil, "nobody with %s may enter", o.config.Password)
		}),
		check("pass", func(context.Context) error { return nil }),
		check("count", func(context.Context) error { return batch.Errorf(batch.CodeConfig, nil, "%d", o.config.Count) }),
	}
}

func (o opened) Close() error { return nil }

func withProbe(s *api.Server) { s.Exports.Plugins = destinations.NewRegistry(vault(), probe()) }

func TestStepsOfAConnectionTest(t *testing.T) {
	t.Parallel()
	const destination = `"destination": {"type": "Probe", "config": {"password": "hunter2"}}`
	tests := map[string]struct{ fields, want string }{
		"passed":         {`"step": 0`, `{"name": "pass", "description": "", "result": {"status": "Passed", "message": null}}`},
		"the first":      {`"x": 0`, `{"name": "pass", "description": "", "result": {"status": "Passed", "message": null}}`},
		"failed":         {`"step": 1`, `{"name": "fail", "description": "", "result": {"status": "Failed", "message": "Nobody with *** may enter."}}`},
		"skipped":        {`"step": 2`, `{"name": "skip", "description": "", "result": {"status": "Skipped", "message": "No role, skipping test"}}`},
		"unknown":        {`"step": 3`, `{"name": "unknown", "description": "", "result": {"status": "Failed", "message": "The test step failed with an unknown error: an internal error occurred."}}`},
		"a panic":        {`"step": 4`, `{"name": "panic", "description": "", "result": {"status": "Failed", "message": "The test step failed with an unknown error: an internal error occurred."}}`},
		"not configured": {`"step": 5`, `{"name": "absent", "description": "", "result": {"status": "Failed", "message": "The test step cannot run as it's not configured."}}`},
	}
	w := newWorld(t, withProbe)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodPost, exports+"/run_test_step_new", draft(destination, tt.fields)).is(http.StatusOK, tt.want)
		})
	}
	w.call(t, http.MethodPost, exports+"/run_test_step_new", draft(`"destination": {"type": "Probe", "config": {"password": "hunter2", "open": "False"}}`)).
		is(http.StatusOK, `{"name": "pass", "description": "", "result": {"status": "Failed", "message": "The password *** is wrong."}}`)
	for step, want := range map[string][2]string{
		"7": {"max_value", "Ensure this value is less than or equal to 6."}, "-1": {"min_value", "Ensure this value is greater than or equal to 0."},
		`"x"`: {"invalid_input", "A valid integer is required."}, "null": {"null", "This field may not be null."},
	} {
		w.call(t, http.MethodPost, exports+"/run_test_step_new", draft(destination, `"step": `+step)).invalid(want[0], want[1], "step")
	}
	w.call(t, http.MethodPost, exports+"/run_test_step_new", draft()).
		invalid("invalid_input", "There are no test steps for destinations of type 'Vault'.", "destination")
	w.call(t, http.MethodPost, exports+"/run_test_step_new", `{}`).invalid("required", "This field is required.", "name")
	require.Empty(t, w.call(t, http.MethodGet, exports, "").ids(), "a test saves nothing")
}

func TestAStoredExportIsTestedWithChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withProbe)
	path := exports + "/" + w.export(t, `"destination": {"type": "Probe", "config": {"password": "hunter2", "count": 3}}`).String()
	before := w.call(t, http.MethodGet, path, "").Body.String()
	count := func(body, want string) {
		t.Helper()
		w.call(t, http.MethodPost, path+"/run_test_step", body).
			is(http.StatusOK, `{"name": "count", "description": "", "result": {"status": "Failed", "message": "`+want+`."}}`)
	}
	count(`{"step": 6}`, "3")
	count(`{"step": 6, "destination": {"type": "Probe", "config": {"count": "4"}}}`, "4")
	w.call(t, http.MethodPost, path+"/run_test_step", `{"destination": {"type": "Vault", "config": {}}}`).
		invalid("invalid_input", "Cannot change destination type from 'Probe' to 'Vault'. Delete this batch export and create a new one instead.", "destination")
	require.JSONEq(t, before, w.call(t, http.MethodGet, path, "").Body.String())
	w.call(t, http.MethodPost, exports+"/3fa85f64-5717-4562-b3fc-2c963f66afa6/run_test_step", `{}`).
		fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
}

func TestStepsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	steps := w.call(t, http.MethodGet, exports+"/test?destination=File", "").json()["steps"].([]any)
	require.Len(t, steps, 3)
	for _, step := range steps {
		step := step.(map[string]any)
		require.NotEmpty(t, step["name"])
		require.NotEmpty(t, step["description"])
		require.Nil(t, step["result"])
	}
	w.call(t, http.MethodGet, exports+"/test", "").invalid("required", "This field is required.", "destination")
	for _, kind := range []string{"Vault", "Fax"} {
		w.call(t, http.MethodGet, exports+"/test?destination="+kind, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
}

func TestStepsOfFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, "out")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "taken"), nil, 0o600))
	w := newWorld(t, func(s *api.Server) { s.Exports.Plugins = destinations.NewRegistry(file.Plugin(file.Server{Root: dir})) })
	run := func(prefix, step string) map[string]any {
		answer := w.call(t, http.MethodPost, exports+"/run_test_step_new", draft(`"step": `+step, `"destination": {"type": "File", "config": {"prefix": "`+prefix+`"}}`))
		require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
		return answer.json()["result"].(map[string]any)
	}
	passed := map[string]any{"status": "Passed", "message": nil}
	for _, step := range []string{"0", "1", "2"} {
		require.Equal(t, passed, run("a/b/{year}/", step))
	}
	require.Equal(t, map[string]any{"status": "Failed", "message": "The prefix: it leads out of the folder of exports."}, run("out/x/", "0"))
	require.Equal(t, map[string]any{"status": "Failed", "message": "The prefix: a file is where a folder must be."}, run("taken/x/", "0"))
	require.NoError(t, os.RemoveAll(dir))
	require.Equal(t, "Failed", run("", "1")["status"])
}
