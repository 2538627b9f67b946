package e2e

import (
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"tranche/internal/pgtest"
)

// setting is a value in an environment.
func setting(t *testing.T, environment []string, name string) string {
	t.Helper()
	for _, pair := range environment {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	require.FailNow(t, "no "+name)
	return ""
}

// with is a draft with one more field.
func with(draft map[string]any, key string, value any) map[string]any {
	more := maps.Clone(draft)
	more[key] = value
	return more
}

// connection are the settings of a Postgres destination for the URL of a database.
func connection(t *testing.T, address, password string) map[string]any {
	t.Helper()
	plant(password)
	u, err := url.Parse(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return map[string]any{
		"host": u.Hostname(), "port": number, "user": u.User.Username(), "password": password,
		"database": strings.TrimPrefix(u.Path, "/"), "has_self_signed_cert": true,
	}
}

// dump is all that is in a database, as a backup has it.
func dump(t *testing.T, address string) string {
	t.Helper()
	bin, err := pgtest.Bin()
	require.NoError(t, err)
	out, err := exec.Command(filepath.Join(bin, "pg_dump"), "--inserts", address).Output()
	require.NoError(t, err)
	return string(out)
}

// histories are all executions of the namespace with their events, as Temporal stores them: nothing is decoded.
func (d *deployment) histories() string {
	d.t.Helper()
	var text strings.Builder
	add := func(m proto.Message) {
		raw, err := proto.Marshal(m)
		require.NoError(d.t, err)
		text.Write(raw)
	}
	list, err := d.temporal.ListWorkflow(d.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	require.NoError(d.t, err)
	require.NotEmpty(d.t, list.GetExecutions())
	for _, e := range list.GetExecutions() {
		add(e)
		for _, event := range d.history(e.GetExecution().GetWorkflowId()) {
			add(event)
		}
	}
	return text.String()
}
