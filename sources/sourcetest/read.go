package sourcetest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// maxBatchRows is the most that a record batch may have.
const maxBatchRows = 8192

// readSplit reads one split to its end.
func readSplit(ctx context.Context, t *testing.T, s sources.Source, q query.Query, split sources.Split) []Row {
	t.Helper()
	reader, err := s.Open(ctx, q, split)
	require.NoError(t, err)
	defer reader.Release()
	var all []Row
	for reader.Next() {
		records := reader.RecordBatch()
		require.True(t, records.Schema().Equal(reader.Schema()), "got %v want %v", records.Schema(), reader.Schema())
		require.LessOrEqual(t, records.NumRows(), int64(maxBatchRows))
		require.NotZero(t, records.NumRows())
		all = appendRows(t, all, records)
	}
	require.NoError(t, reader.Err())
	require.False(t, reader.Next(), "the end stays the end")
	return all
}

// readInterval reads the whole of an interval in one split.
func readInterval(ctx context.Context, t *testing.T, s sources.Source, q query.Query) []Row {
	t.Helper()
	return readSplit(ctx, t, s, q, sources.Split{Range: q.Interval})
}

// appendRows turns a batch of allColumns into rows.
func appendRows(t *testing.T, all []Row, records arrow.RecordBatch) []Row {
	t.Helper()
	for i := range int(records.NumRows()) {
		var r Row
		for c, field := range records.Schema().Fields() {
			column := records.Column(c)
			if column.IsNull(i) {
				require.True(t, field.Nullable, "%s is null", field.Name)
				continue
			}
			switch query.Field(field.Name) {
			case query.FieldUUID:
				r.UUID = textAt(t, column, i)
			case query.FieldTeamID:
				require.IsType(t, &array.Int64{}, column)
				r.TeamID = column.(*array.Int64).Value(i)
			case query.FieldEvent:
				r.Event = textAt(t, column, i)
			case query.FieldDistinctID:
				r.DistinctID = textAt(t, column, i)
			case query.FieldTimestamp:
				r.Timestamp = timeAt(t, column, i)
			case query.FieldInsertedAt:
				r.InsertedAt = timeAt(t, column, i)
			case query.FieldCreatedAt:
				r.CreatedAt = timeAt(t, column, i)
			case query.FieldProperties:
				r.Properties = textAt(t, column, i)
			case query.FieldPersonProperties:
				r.PersonProperties = textAt(t, column, i)
			case query.FieldPersonID:
				r.PersonID = textAt(t, column, i)
			case query.FieldElementsChain:
				r.ElementsChain = textAt(t, column, i)
			default:
				require.Fail(t, "unexpected column", field.Name)
			}
		}
		all = append(all, r)
	}
	return all
}

func textAt(t *testing.T, column arrow.Array, i int) string {
	t.Helper()
	require.IsType(t, &array.String{}, column)
	return strings.Clone(column.(*array.String).Value(i)) // the batch's memory goes with the batch
}

func timeAt(t *testing.T, column arrow.Array, i int) time.Time {
	t.Helper()
	require.IsType(t, &array.Timestamp{}, column)
	return column.(*array.Timestamp).Value(i).ToTime(arrow.Microsecond)
}

// requireRows compares rows as sets. JSON may come out written differently, as long as it says the same.
func requireRows(t *testing.T, want, got []Row) {
	t.Helper()
	byUUID := make(map[string]Row, len(got))
	for _, r := range got {
		_, twice := byUUID[r.UUID]
		require.False(t, twice, "the row inserted at %v came twice", r.InsertedAt)
		byUUID[r.UUID] = normal(t, r)
	}
	for _, w := range want {
		g, ok := byUUID[w.UUID]
		require.True(t, ok, "the row inserted at %v is missing", w.InsertedAt)
		require.Equal(t, normal(t, w), g)
	}
	require.Len(t, got, len(want))
}

// normal writes the row's JSON and instants in one way.
func normal(t *testing.T, r Row) Row {
	t.Helper()
	r.Properties, r.PersonProperties = normalJSON(t, r.Properties), normalJSON(t, r.PersonProperties)
	r.Timestamp, r.InsertedAt, r.CreatedAt = r.Timestamp.UTC(), r.InsertedAt.UTC(), r.CreatedAt.UTC()
	return r
}

func normalJSON(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value), text)
	again, err := json.Marshal(value)
	require.NoError(t, err)
	return string(again)
}

// requireSplits checks that the splits are a plan for the interval: numbered, adjoining, none empty.
func requireSplits(t *testing.T, interval batch.Interval, limit int, splits []sources.Split) {
	t.Helper()
	require.NotEmpty(t, splits)
	require.LessOrEqual(t, len(splits), limit)
	require.True(t, splits[0].Range.Start.Equal(interval.Start), "got %v want %v", splits[0].Range, interval)
	require.True(t, splits[len(splits)-1].Range.End.Equal(interval.End), "got %v want %v", splits[len(splits)-1].Range, interval)
	for i, s := range splits {
		require.Equal(t, i, s.Number)
		require.True(t, s.Range.Start.Before(s.Range.End), "split %d is empty: %v", i, s.Range)
		if i > 0 {
			require.True(t, s.Range.Start.Equal(splits[i-1].Range.End), "split %d does not adjoin", i)
		}
	}
}
