package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// The markers are planted where data and settings are, and looked for where they must not be.
const (
	markSecret = "marker-secret-2f6b1e"
	markPrefix = "marker-prefix-9d04c7"
	markName   = "marker-name-51c3aa"
	markPerson = "marker-distinct-e7708d"
	markValue  = "marker-property-c2914f"
)

var rowMarks = []string{markName, markPerson, markValue}

// A talkative destination fails and quotes its secret and a row, in every way in which one can.
type talkative struct {
	config talkativeConfig
}

type talkativeConfig struct {
	Password string `json:"password" required:"true" secret:"true"`
	Folder   string `json:"folder"`
	// How it fails: unclassified, classified, retryable, panics, or says it to the customer.
	How string `json:"how"`
}

const talkativeType = "Talkative"

func talkativePlugin() destinations.Plugin {
	return destinations.Define(destinations.Definition[talkativeConfig]{
		Type: talkativeType, Name: "a talkative one", Guarantee: destinations.AtLeastOnce,
		Columns: func(talkativeConfig, query.Model) ([]query.Column, error) { return query.ObjectStoreEvents(), nil },
		Open: func(_ context.Context, c talkativeConfig) (destinations.Destination, error) {
			return &talkative{config: c}, nil
		},
	})
}

func (d *talkative) Checks() []destinations.Check { return nil }

// Stage fails.
func (d *talkative) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	row := ""
	for records.Next() {
		row += fmt.Sprint(records.RecordBatch())
	}
	if err := errors.Join(records.Err(), job.Journal.Record(ctx, "a-ref")); err != nil {
		return destinations.Receipt{}, err
	}
	for _, mark := range rowMarks {
		if !strings.Contains(row, mark) {
			return destinations.Receipt{}, fmt.Errorf("the row lacks %s", mark)
		}
	}
	quote := fmt.Errorf("INSERT by %s: %s", d.config.Password, row)
	switch d.config.How {
	case "classified":
		return destinations.Receipt{}, batch.Errorf(batch.CodePermission, quote, "the table may not be written")
	case "retryable":
		if job.Attempt == 1 {
			return destinations.Receipt{}, batch.Errorf(batch.CodeUnavailable, quote, "the host does not answer")
		}
		return destinations.Receipt{}, batch.Errorf(batch.CodeCredentials, quote, "the password is wrong")
	case "says":
		return destinations.Receipt{}, batch.Errorf(batch.CodePermission, quote, "the vendor says: no %s here", d.config.Password)
	case "unclassified":
		if job.Attempt == 1 {
			return destinations.Receipt{}, quote
		}
	case "panics":
		if job.Attempt == 1 {
			panic(quote.Error())
		}
	}
	return destinations.Receipt{}, batch.Errorf(batch.CodeConfig, quote, "it never works")
}

// Commit fails.
func (d *talkative) Commit(context.Context, destinations.Run, []destinations.Receipt, *batch.Delivery) (destinations.Published, error) {
	return destinations.Published{}, errors.New("never reached " + d.config.Password)
}

// Abort fails, too.
func (d *talkative) Abort(context.Context, []destinations.Ref) error {
	return errors.New("cannot abort with " + d.config.Password)
}

func (d *talkative) Close() error { return errors.New("cannot close with " + d.config.Password) }

func TestNoSecretAndNoRowLeavesItsPlace(t *testing.T) {
	t.Parallel()
	var events []event
	for _, e := range newEventMaker(10).within(epoch, time.Hour, 20) {
		e.Name, e.DistinctID, e.Properties = markName, markPerson, fmt.Sprintf(`{"v":%q}`, markValue)
		events = append(events, e)
	}
	s := startStack(t, events, talkativePlugin())
	bounds := []string{epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339)}

	files := s.create(fileExport("files", "hour", markPrefix))
	var answers strings.Builder
	s.completed(files, s.backfill(files, bounds[0], bounds[1]), workPatience)
	talkers := map[string]uuid.UUID{}
	for _, how := range []string{"unclassified", "classified", "retryable", "panics", "says"} {
		settings := fileExport(how, "hour", "")
		settings["destination"] = map[string]any{"type": talkativeType, "config": map[string]any{
			"password": markSecret, "folder": markPrefix, "how": how,
		}}
		status, answer := s.call(http.MethodPost, exports, settings)
		require.Equal(t, http.StatusCreated, status, "%s", answer)
		answers.Write(answer)
		var list struct{ Results []struct{ ID uuid.UUID } }
		s.do(http.MethodGet, exports+"?limit=1", nil, &list)
		talkers[how] = list.Results[0].ID
		id := s.backfill(talkers[how], bounds[0], bounds[1])
		until(t, workPatience, "the backfill to fail", func() bool { return s.getBackfill(talkers[how], id).over() })
		require.Equal(t, "Failed", s.getBackfill(talkers[how], id).Status, how)
	}
	require.Equal(t, "the vendor says: no *** here", *s.runs(talkers["says"])[0].LatestError)
	require.Equal(t, "the table may not be written", *s.runs(talkers["classified"])[0].LatestError)

	for how, export := range talkers {
		for _, path := range []string{at(export), at(export) + "/runs", at(export) + "/backfills", at(export) + "/logs?limit=500"} {
			status, answer := s.call(http.MethodGet, path, nil)
			require.Equal(t, http.StatusOK, status, how)
			answers.Write(answer)
		}
	}
	requireWithout(t, "the answers of the API", answers.String(), append(rowMarks, markSecret)...)
	histories := s.histories()
	requireWithout(t, "the histories", histories, append(rowMarks, markSecret, markPrefix)...)
	require.Contains(t, histories, "the password is wrong", "the messages are there")

	// What a customer must not see, an operator may read in a row's error, but never a secret.
	until(t, endPatience, "an operator's line", func() bool { return strings.Contains(s.logs.String(), "INSERT by ***") })
	requireWithout(t, "the operator's log", s.logs.String(), markSecret)

	dir := filepath.Dir(s.ExportsDir())
	requireFilesWithout(t, dir, "tranche.db", append(rowMarks, markSecret)...)
	requireFilesWithout(t, dir, "temporal", append(rowMarks, markSecret, markPrefix)...)
	requireFilesWithout(t, dir, "", markSecret)
}

func requireWithout(t *testing.T, what, text string, marks ...string) {
	t.Helper()
	require.NotEmpty(t, text, what)
	for _, mark := range marks {
		if i := strings.Index(text, mark); i >= 0 {
			require.FailNow(t, what+" hold "+mark, "%q", text[max(0, i-300):min(len(text), i+300)])
		}
	}
}

// requireFilesWithout looks into all files of a data directory whose path begins so.
func requireFilesWithout(t *testing.T, dir, prefix string, marks ...string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || !strings.HasPrefix(name, prefix) {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		looked++
		for _, mark := range marks {
			require.False(t, bytes.Contains(content, []byte(mark)), "%s is in the file %s", mark, name)
		}
		return err
	})
	require.NoError(t, err)
	require.Positive(t, looked)
}

// histories are all executions with all their events, payloads decoded, as JSON and as bytes.
func (s *inProcess) histories() string {
	s.t.Helper()
	var text strings.Builder
	add := func(m proto.Message) {
		readable, err := protojson.Marshal(m)
		require.NoError(s.t, err)
		raw, err := proto.Marshal(m) // here payloads are as they are, not in base64
		require.NoError(s.t, err)
		text.Write(readable)
		text.Write(raw)
	}
	all := s.executions("")
	all = append(all, s.executions("TemporalNamespaceDivision = 'TemporalScheduler'")...)
	kinds := map[string]int{}
	for _, e := range all {
		kinds[e.GetType().GetName()]++
		add(e)
		id := e.GetExecution()
		events := s.Temporal().GetWorkflowHistory(s.t.Context(), id.GetWorkflowId(), id.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(s.t, err)
			add(event)
		}
	}
	require.Positive(s.t, kinds["ExportInterval"])
	require.Positive(s.t, kinds["Backfill"])
	require.Len(s.t, kinds, 3, "and the schedules: %v", kinds)
	return text.String()
}
