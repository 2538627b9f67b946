package storage_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// entry is a log entry of the export, the seconds after noon.
func entry(e batch.Export, run uuid.UUID, seconds int, level batch.LogLevel, message string) batch.LogEntry {
	return batch.LogEntry{
		TeamID: e.TeamID, ExportID: e.ID, RunID: run, Level: level, Message: message,
		Timestamp: storagetest.Noon.Add(time.Duration(seconds) * time.Second),
	}
}

func TestLogsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, run := storagetest.Export(), uuid.New()
		all := []batch.LogEntry{
			entry(e, run, 0, batch.LogInfo, "Started."),
			entry(e, run, 1, batch.LogWarning, "100% of a_b\\c"),
			entry(e, uuid.Nil, 1, batch.LogInfo, "The export was paused."), // the same time: the later insert is newer
			entry(e, uuid.New(), 2, batch.LogError, "Connection REFUSED."),
			entry(e, run, 3, batch.LogDebug, "1005 rows, axb"),
		}
		require.NoError(t, db.AppendLogs(t.Context(), all))
		require.NoError(t, db.AppendLogs(t.Context(), nil))
		require.NoError(t, db.AppendLogs(t.Context(), []batch.LogEntry{entry(storagetest.Export(), run, 1, batch.LogInfo, "Other.")}))
		at := func(seconds int) *time.Time { return ptr(storagetest.Noon.Add(time.Duration(seconds) * time.Second)) }
		tests := map[string]struct {
			filter batch.LogFilter
			want   []int
		}{
			"all":                           {batch.LogFilter{}, []int{4, 3, 2, 1, 0}},
			"the newest two":                {batch.LogFilter{Limit: 2}, []int{4, 3}},
			"of a run":                      {batch.LogFilter{RunID: &run}, []int{4, 1, 0}},
			"after and before, exclusive":   {batch.LogFilter{After: at(0), Before: at(3)}, []int{3, 2, 1}},
			"of two levels":                 {batch.LogFilter{Levels: []batch.LogLevel{batch.LogError, batch.LogDebug}}, []int{4, 3}},
			"text in any case":              {batch.LogFilter{Search: "connection refused"}, []int{3}},
			"a percent sign is no wildcard": {batch.LogFilter{Search: "100%"}, []int{1}},
			"an underscore is no wildcard":  {batch.LogFilter{Search: "a_b"}, []int{1}},
			"a backslash is a backslash":    {batch.LogFilter{Search: `b\c`}, []int{1}},
			"a quote is a quote":            {batch.LogFilter{Search: `'`}, []int{}},
			"of another team":               {batch.LogFilter{TeamID: 2}, []int{}},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test.filter.ExportID = e.ID
				if test.filter.TeamID == 0 {
					test.filter.TeamID = 1
				}
				want := []batch.LogEntry{}
				for _, i := range test.want {
					want = append(want, all[i])
				}
				got, err := db.ListLogs(t.Context(), test.filter)
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		}
	})
}

func TestManyLogsWithAnyBytesAreAppendedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := storagetest.Export()
		var all []batch.LogEntry
		for n := range 1201 {
			all = append(all, entry(e, uuid.Nil, n, batch.LogInfo, fmt.Sprintf("Line %d. \x00\xff", n)))
		}
		require.NoError(t, db.AppendLogs(t.Context(), all))
		got, err := db.ListLogs(t.Context(), batch.LogFilter{TeamID: 1, ExportID: e.ID})
		require.NoError(t, err)
		require.Len(t, got, len(all))
		slices.Reverse(got)
		require.Equal(t, "Line 1200. \uFFFD", got[1200].Message)
	})
}

func TestOldLogsAreDeletedOldestFirst(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := storagetest.Export()
		for n := range 5 {
			require.NoError(t, db.AppendLogs(t.Context(), []batch.LogEntry{entry(e, uuid.Nil, n, batch.LogInfo, "Line.")}))
		}
		before := storagetest.Noon.Add(3 * time.Second)
		for _, want := range []int64{2, 1, 0} {
			n, err := db.DeleteLogs(t.Context(), before, 2)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		got, err := db.ListLogs(t.Context(), batch.LogFilter{TeamID: 1, ExportID: e.ID})
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, before, got[1].Timestamp)
	})
}
