package sourcetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// testClocks chooses rows by each of their times, with and without a lookback, for the model's columns and for a customer's
// query alike.
func testClocks(ctx context.Context, t *testing.T, f Fixture) {
	const day = 24 * time.Hour
	inside := start.Add(time.Minute)
	var all []Row
	for i, at := range []struct {
		event              string
		happened, ingested time.Time
	}{
		{"in time", inside, inside},
		{"long before", start.Add(-10 * day), inside},
		{"in the future", start.Add(2 * day), inside},
		{"late", inside, start.Add(3 * day)},
		{"at the bound", start.Add(-day), inside},
		{"before the bound", start.Add(-day - time.Microsecond), inside},
		{"a day after the end", hour.End.Add(day), inside},
		{"not wanted", inside, inside},
	} {
		for j, id := range []int64{team, otherTeam} {
			r := row(2*i+j, at.ingested)
			r.TeamID, r.Event, r.Timestamp = id, at.event, at.happened
			all = append(all, r)
		}
	}
	f.Seed(t, all)
	selection, err := query.PostHog().Select(batch.Export{Model: batch.ModelHogQL, Selection: batch.Selection{
		Query: "SELECT uuid AS id, upper(event) AS what FROM events WHERE event != 'not wanted'",
	}})
	require.NoError(t, err)
	byArrival := []string{"IN TIME", "LONG BEFORE", "IN THE FUTURE", "AT THE BOUND", "BEFORE THE BOUND", "A DAY AFTER THE END"}
	for name, c := range map[string]struct {
		by       query.Time
		lookback time.Duration
		want     []string
	}{
		"by arrival":                       {query.ByIngestion, 0, byArrival},
		"by arrival, a day back":           {query.ByIngestion, day, []string{"IN TIME", "AT THE BOUND"}},
		"by event time":                    {query.ByEvent, 0, []string{"IN TIME", "LATE"}},
		"by event time, which has no late": {query.ByEvent, day, []string{"IN TIME", "LATE"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := query.Query{
				TeamID: team, Model: batch.ModelEvents, Interval: hour, By: c.by, Lookback: c.lookback, Columns: selection.Columns, Where: selection.Where,
			}
			n, err := f.Source.Count(ctx, q)
			require.NoError(t, err)
			require.EqualValues(t, len(c.want), n)
			splits, err := f.Source.Plan(ctx, q, 3)
			require.NoError(t, err)
			var got []string
			for _, split := range splits {
				got = append(got, secondColumn(ctx, t, f.Source, q, split)...)
			}
			require.ElementsMatch(t, c.want, got)
			q.Columns, q.Where = allColumns(), nil
			n, err = f.Source.Count(ctx, q)
			require.NoError(t, err)
			require.EqualValues(t, len(c.want)+1, n, "the model's own columns, with the row that the query does not want")
			at, any, err := f.Source.Earliest(ctx, q)
			require.NoError(t, err)
			require.True(t, any)
			require.True(t, at.Equal(map[query.Time]time.Time{query.ByIngestion: inside, query.ByEvent: start.Add(-10 * day)}[c.by]), at)
		})
	}
}

func secondColumn(ctx context.Context, t *testing.T, s sources.Source, q query.Query, split sources.Split) []string {
	t.Helper()
	r, err := s.Open(ctx, q, split)
	require.NoError(t, err)
	defer r.Release()
	var texts []string
	for r.Next() {
		for i := range int(r.RecordBatch().NumRows()) {
			texts = append(texts, textAt(t, r.RecordBatch().Column(1), i))
		}
	}
	require.NoError(t, r.Err())
	return slices.Clip(texts)
}
