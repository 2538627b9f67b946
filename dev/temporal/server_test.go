package temporal_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tranche/dev/temporal"
)

const taskQueue = "greetings"

func greet(_ workflow.Context, name string) (string, error) { return "hello " + name, nil }

// exportID is a search attribute that only some tests register.
var exportID = sdktemporal.NewSearchAttributeKeyKeyword("ExportId")

func start(t *testing.T, o temporal.Options) *temporal.Server {
	t.Helper()
	began := time.Now()
	s, err := temporal.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	t.Logf("started in %v", time.Since(began))
	return s
}

func dial(t *testing.T, s *temporal.Server) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.HostPort()})
	require.NoError(t, err)
	return c
}

// runGreeting runs a workflow to its end, with search attributes.
func runGreeting(t *testing.T, c client.Client, id string, attributes ...sdktemporal.SearchAttributeUpdate) string {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(greet)
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, TypedSearchAttributes: sdktemporal.NewSearchAttributes(attributes...),
	}, greet, "world")
	require.NoError(t, err)
	var greeting string
	require.NoError(t, run.Get(t.Context(), &greeting))
	return greeting
}

func TestAServerRunsWorkflowsAndKeepsThemOverARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")

	first := start(t, temporal.Options{Dir: dir})
	c := dial(t, first)
	require.Equal(t, "hello world", runGreeting(t, c, "greeting-1"))
	c.Close()
	began := time.Now()
	require.NoError(t, first.Stop())
	t.Logf("stopped in %v", time.Since(began))
	require.NoError(t, first.Stop(), "stopping twice is harmless")

	second := start(t, temporal.Options{Dir: dir})
	c = dial(t, second)
	defer c.Close()
	description, err := c.DescribeWorkflowExecution(t.Context(), "greeting-1", "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, description.WorkflowExecutionInfo.Status)
	require.Equal(t, "hello world", runGreeting(t, c, "greeting-2"))
}

func TestSearchAttributesAreUsableAtOnce(t *testing.T) {
	t.Parallel()
	keyword := map[string]enumspb.IndexedValueType{"ExportId": enumspb.INDEXED_VALUE_TYPE_KEYWORD}
	for name, earlier := range map[string]bool{"a new directory": false, "a directory made without them": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if earlier {
				require.NoError(t, start(t, temporal.Options{Dir: dir}).Stop())
			}
			c := dial(t, start(t, temporal.Options{Dir: dir, SearchAttributes: keyword}))
			defer c.Close()
			runGreeting(t, c, "greeting", exportID.ValueSet("export-7"))
			require.Eventually(t, func() bool {
				found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "ExportId = 'export-7'"})
				return err == nil && len(found.GetExecutions()) == 1
			}, 10*time.Second, 10*time.Millisecond)
		})
	}
}

func TestASearchAttributeOfAnotherTypeIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kinds := func(k enumspb.IndexedValueType) map[string]enumspb.IndexedValueType {
		return map[string]enumspb.IndexedValueType{"ExportId": k}
	}
	require.NoError(t, start(t, temporal.Options{Dir: dir, SearchAttributes: kinds(enumspb.INDEXED_VALUE_TYPE_KEYWORD)}).Stop())
	_, err := temporal.Start(t.Context(), temporal.Options{Dir: dir, SearchAttributes: kinds(enumspb.INDEXED_VALUE_TYPE_INT)})
	require.ErrorContains(t, err, "ExportId")
}

func TestTheNamespaceKeepsClosedWorkflowsForAMonth(t *testing.T) {
	t.Parallel()
	c := dial(t, temporal.StartForTest(t, nil))
	defer c.Close()
	n, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: temporal.Namespace})
	require.NoError(t, err)
	require.Equal(t, 30*24*time.Hour, n.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
}

func TestTheWebUIShowsTheNamespace(t *testing.T) {
	t.Parallel()
	s := start(t, temporal.Options{Dir: t.TempDir(), UIListen: "127.0.0.1:0"})
	require.Contains(t, get(t, s.UIURL()+"/namespaces/default/workflows"), "<html")
	require.Contains(t, get(t, s.UIURL()+"/api/v1/namespaces"), `"name":"default"`)
	require.NoError(t, s.Stop())
	_, err := net.Dial("tcp", strings.TrimPrefix(s.UIURL(), "http://"))
	require.Error(t, err, "the UI ends with the server")
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return strings.ReplaceAll(string(body), " ", "")
}

func TestWithoutUIListenThereIsNoUI(t *testing.T) {
	t.Parallel()
	require.Empty(t, temporal.StartForTest(t, nil).UIURL())
}

func TestADirectoryInUseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, temporal.Options{Dir: dir})
	_, err := temporal.Start(t.Context(), temporal.Options{Dir: dir})
	var inUse *temporal.InUseError
	require.ErrorAs(t, err, &inUse)
	require.EqualError(t, inUse, fmt.Sprintf("data directory %s is in use by another process", dir))
}

func TestAPortThatIsTakenIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr)

	for _, o := range []temporal.Options{{Port: taken.Port}, {UIListen: taken.String()}} {
		o.Dir = t.TempDir()
		_, err := temporal.Start(t.Context(), o)
		var port *temporal.PortError
		require.ErrorAs(t, err, &port)
		require.ErrorContains(t, err, taken.String())
		start(t, temporal.Options{Dir: o.Dir}) // nothing was left behind
	}
}

func TestAnAddressThatMakesNoSenseIsAnError(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]temporal.Options{
		"a port that does not exist": {Port: 70000},
		"a UI address without port":  {UIListen: "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Dir = t.TempDir()
			_, err := temporal.Start(t.Context(), o)
			var port *temporal.PortError
			require.ErrorAs(t, err, &port)
		})
	}
}

func TestStateOfAnotherServerVersionIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) error{
		"another version":         func(p string) error { return os.WriteFile(p, []byte("1.29.1\n"), 0o600) },
		"a version that was lost": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, start(t, temporal.Options{Dir: dir}).Stop())
			require.NoError(t, change(filepath.Join(dir, "temporal.version")))
			_, err := temporal.Start(t.Context(), temporal.Options{Dir: dir})
			var version *temporal.VersionError
			require.ErrorAs(t, err, &version)
			require.ErrorContains(t, err, dir)
			require.ErrorContains(t, err, "move the directory away")
		})
	}
}

func TestADatabaseThatWasHalfMadeIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "temporal.db.new"), []byte("half"), 0o600))
	start(t, temporal.Options{Dir: dir})
}

func TestAStartThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := temporal.Start(ctx, temporal.Options{Dir: dir})
	require.Error(t, err)
	start(t, temporal.Options{Dir: dir})
}
