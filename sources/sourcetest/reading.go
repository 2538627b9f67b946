package sourcetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

func testFidelity(ctx context.Context, t *testing.T, f Fixture) {
	want := nastyRows(f.Oldest)
	f.Seed(t, want)
	requireRows(t, want, readInterval(ctx, t, f.Source, events(hour)))
}

func testSchema(ctx context.Context, t *testing.T, f Fixture) {
	instant := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	kinds := map[query.Field]arrow.DataType{
		query.FieldTeamID: arrow.PrimitiveTypes.Int64, query.FieldTimestamp: instant, query.FieldInsertedAt: instant,
		query.FieldCreatedAt: instant,
	}
	nullable := []query.Field{query.FieldPersonProperties, query.FieldPersonID}

	schema, err := f.Source.Schema(ctx, events(hour))
	require.NoError(t, err)
	require.Equal(t, len(allColumns()), schema.NumFields())
	for i, c := range allColumns() {
		field := schema.Field(i)
		want, ok := kinds[c.Field]
		if !ok {
			want = arrow.BinaryTypes.String
		}
		require.True(t, arrow.TypeEqual(want, field.Type), "%s is %v", c.Name, field.Type)
		if slices.Contains(nullable, c.Field) {
			require.True(t, field.Nullable, "%s can be null", c.Name)
		}
		mark, _ := field.Metadata.GetValue(query.JSONMetadata)
		require.Equal(t, c.Field.JSON(), mark == "true", "%s and its mark for JSON", c.Name)
	}

	reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
	require.NoError(t, err)
	defer reader.Release()
	require.True(t, schema.Equal(reader.Schema()), "got %v want %v", reader.Schema(), schema)
	require.False(t, reader.Next(), "there are no rows")
	require.NoError(t, reader.Err())
}

func testColumns(ctx context.Context, t *testing.T, f Fixture) {
	want := row(1, start)
	f.Seed(t, []Row{want})
	q := events(hour)
	q.Columns = []query.Column{
		{Name: "who", Field: query.FieldDistinctID}, {Name: "id", Field: query.FieldUUID}, {Name: `o"dd 'name`, Field: query.FieldUUID},
	}
	reader, err := f.Source.Open(ctx, q, sources.Split{Range: hour})
	require.NoError(t, err)
	defer reader.Release()
	require.True(t, reader.Next(), "%v", reader.Err())
	records := reader.RecordBatch()
	for i, text := range []string{want.DistinctID, want.UUID, want.UUID} {
		require.Equal(t, q.Columns[i].Name, records.ColumnName(i))
		require.Equal(t, text, textAt(t, records.Column(i), 0))
	}
}

func testFilters(ctx context.Context, t *testing.T, f Fixture) {
	all := rows(60, hour)
	names := []string{"$pageview", "sign'up", "purchase; --"}
	for i := range all {
		all[i].Event = names[i%len(names)]
	}
	f.Seed(t, all)
	for _, test := range []struct {
		include, exclude []string
		keep             func(event string) bool
	}{
		{nil, nil, func(string) bool { return true }},
		{[]string{"sign'up"}, nil, func(e string) bool { return e == "sign'up" }},
		{[]string{"sign'up", "$pageview", "unheard of"}, nil, func(e string) bool { return e != "purchase; --" }},
		{nil, []string{"purchase; --"}, func(e string) bool { return e != "purchase; --" }},
		{[]string{"sign'up", "$pageview"}, []string{"$pageview"}, func(e string) bool { return e == "sign'up" }},
		{[]string{"unheard of"}, nil, func(string) bool { return false }},
	} {
		q := events(hour)
		q.IncludeEvents, q.ExcludeEvents = test.include, test.exclude
		want := slices.DeleteFunc(slices.Clone(all), func(r Row) bool { return !test.keep(r.Event) })
		requireRows(t, want, readInterval(ctx, t, f.Source, q))
		n, err := f.Source.Count(ctx, q)
		require.NoError(t, err)
		require.Equal(t, int64(len(want)), n)
		splits, err := f.Source.Plan(ctx, q, 4)
		require.NoError(t, err)
		require.Equal(t, len(want) == 0, len(splits) == 0, "no rows, no splits")
	}
}

func testTeams(ctx context.Context, t *testing.T, f Fixture) {
	mine := rows(50, hour)
	others := make([]Row, 30)
	for i := range others {
		others[i] = row(1000+i, start.Add(time.Duration(i)*time.Second))
		others[i].TeamID = otherTeam
	}
	f.Seed(t, append(slices.Clone(mine), others...))
	requireRows(t, mine, readInterval(ctx, t, f.Source, events(hour)))
	q := events(hour)
	for id, want := range map[int64][]Row{otherTeam: others, 9: nil} {
		q.TeamID = id
		requireRows(t, want, readInterval(ctx, t, f.Source, q))
		n, err := f.Source.Count(ctx, q)
		require.NoError(t, err)
		require.Equal(t, int64(len(want)), n)
	}
}

func testRepeat(ctx context.Context, t *testing.T, f Fixture) {
	want := rows(500, hour)
	f.Seed(t, want)
	for range 3 {
		requireRows(t, want, readInterval(ctx, t, f.Source, events(hour)))
	}
}

func testEarliest(ctx context.Context, t *testing.T, f Fixture) {
	_, ok, err := f.Source.Earliest(ctx, query.Query{TeamID: team, Model: batch.ModelEvents})
	require.NoError(t, err)
	require.False(t, ok, "there are no rows")

	earliest := row(1, start.Add(123_456*time.Microsecond))
	// It is the ingestion time that counts.
	earliest.Timestamp, earliest.CreatedAt = start.AddDate(5, 0, 0), start.AddDate(6, 0, 0)
	other := row(3, start.AddDate(-1, 0, 0))
	other.TeamID = otherTeam
	f.Seed(t, []Row{row(2, start.Add(time.Hour)), earliest, other})
	at, ok, err := f.Source.Earliest(ctx, query.Query{TeamID: team, Model: batch.ModelEvents})
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, at.Equal(earliest.InsertedAt), "got %v want %v", at, earliest.InsertedAt)
}

func testUnknown(ctx context.Context, t *testing.T, f Fixture) {
	f.Seed(t, []Row{row(1, start)})
	field, model, columns := events(hour), events(hour), events(hour)
	field.Columns = []query.Column{{Name: "x", Field: `uuid" FROM events; --`}}
	model.Model = "nonsense"
	columns.Columns = nil
	for name, q := range map[string]query.Query{"a field": field, "a model": model, "no columns": columns} {
		_, err := f.Source.Schema(ctx, q)
		require.Equal(t, batch.CodeConfig, codeOf(err), name)
		_, err = f.Source.Open(ctx, q, sources.Split{Range: hour})
		require.Equal(t, batch.CodeConfig, codeOf(err), name)
	}
	_, err := f.Source.Count(ctx, model)
	require.Equal(t, batch.CodeConfig, codeOf(err))
	_, err = f.Source.Plan(ctx, model, 3)
	require.Equal(t, batch.CodeConfig, codeOf(err))
	_, _, err = f.Source.Earliest(ctx, query.Query{TeamID: team, Model: "nonsense"})
	require.Equal(t, batch.CodeConfig, codeOf(err))
}

// codeOf is the code of an error that is one of ours, or "".
func codeOf(err error) batch.Code {
	if failure, ok := errors.AsType[*batch.Error](err); ok {
		return failure.Code
	}
	return ""
}
