package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/query"
)

// BenchmarkDelivery delivers events of realistic size, and then lets psql copy the same rows into a table like it.
// TRANCHE_BENCH_ROWS says how many; TRANCHE_BENCH_POSTGRES is the URL of a database to use, which is left as it was.
func BenchmarkDelivery(b *testing.B) {
	rows := 200_000
	if text := os.Getenv("TRANCHE_BENCH_ROWS"); text != "" {
		var err error
		rows, err = strconv.Atoi(text)
		require.NoError(b, err)
	}
	databaseURL := os.Getenv("TRANCHE_BENCH_POSTGRES")
	if databaseURL == "" {
		databaseURL = database.Database(b)
	}
	records := generated(b, rows)
	for b.Loop() {
		schema := "bench_" + strconv.FormatInt(time.Now().UnixNano(), 36)
		staging, commit := deliverBench(b, databaseURL, schema, records)
		copying := copyBench(b, databaseURL, schema)
		b.ReportMetric(staging.Seconds(), "stage-s")
		b.ReportMetric(commit.Seconds(), "commit-s")
		b.ReportMetric(copying.Seconds(), "psql-copy-s")
		b.ReportMetric((staging+commit).Seconds()/copying.Seconds(), "ratio")
		b.ReportMetric(float64(rows)/(staging+commit).Seconds(), "rows/s")
		execute(b, databaseURL, `DROP SCHEMA `+schema+` CASCADE`)
	}
}

func deliverBench(b *testing.B, databaseURL, schema string, records []arrow.RecordBatch) (staging, commit time.Duration) {
	b.Helper()
	plugin := postgres.Plugin(laptop)
	config, err := plugin.Parse(configOf(b, databaseURL, map[string]any{"schema": schema, "table_name": "events"}), nil)
	require.NoError(b, err)
	d, err := plugin.Open(b.Context(), config)
	require.NoError(b, err)
	run := destinations.Run{
		ID: uuid.New(), ExportID: uuid.New(), TeamID: 1, Model: batch.ModelEvents, Generation: 1, Token: 1,
		Interval: batch.Interval{Start: time.Unix(0, 0), End: time.Unix(3600, 0)},
	}
	reader, err := array.NewRecordReader(records[0].Schema(), records)
	require.NoError(b, err)
	defer reader.Release()
	began := time.Now()
	receipt, err := d.Stage(b.Context(), destinations.Job{Run: run, Splits: 1, Attempt: 1, Journal: &journal{}}, reader)
	require.NoError(b, err)
	staging = time.Since(began)
	began = time.Now()
	_, err = d.Commit(b.Context(), run, []destinations.Receipt{receipt}, nil)
	require.NoError(b, err)
	return staging, time.Since(began)
}

func copyBench(b *testing.B, databaseURL, schema string) time.Duration {
	b.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		b.Skipf("SKIPPED, NOT COMPARED: %v", err)
	}
	file := filepath.Join(b.TempDir(), "events.copy")
	run := func(command string) {
		out, err := exec.CommandContext(b.Context(), psql, databaseURL, "-v", "ON_ERROR_STOP=1", "-qc", command).CombinedOutput()
		require.NoError(b, err, "%s", out)
	}
	run(`\copy ` + schema + `.events TO '` + file + `'`)
	execute(b, databaseURL, `CREATE TABLE `+schema+`.copied (LIKE `+schema+`.events INCLUDING ALL)`)
	execute(b, databaseURL, `CHECKPOINT`)
	began := time.Now()
	run(`\copy ` + schema + `.copied FROM '` + file + `'`)
	return time.Since(began)
}

func execute(tb testing.TB, databaseURL, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), databaseURL)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, conn.Close(tb.Context())) }()
	_, err = conn.Exec(tb.Context(), sql)
	require.NoError(tb, err, sql)
}

// generated are events as a web site sends them: about 700 bytes of properties.
func generated(b *testing.B, rows int) []arrow.RecordBatch {
	b.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "uuid", Type: arrow.BinaryTypes.String},
		{Name: "event", Type: arrow.BinaryTypes.String},
		{Name: "properties", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})},
		{Name: "elements_chain", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "distinct_id", Type: arrow.BinaryTypes.String},
		{Name: "team_id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "person_properties", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})},
	}, nil)
	random := rand.New(rand.NewPCG(1, 2))
	var batches []arrow.RecordBatch
	for done := 0; done < rows; {
		builder := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
		for range min(8192, rows-done) {
			var id uuid.UUID
			for i := range id {
				id[i] = byte(random.Uint32())
			}
			text := func(i int, s string) { builder.Field(i).(*array.StringBuilder).Append(s) }
			text(0, id.String())
			text(1, []string{"$pageview", "$autocapture", "signed up", "file_changed"}[random.IntN(4)])
			text(2, fmt.Sprintf(`{"$browser":"Chrome","$browser_version":%d,"$current_url":"https://example.com/products/%d?ref=%x","$device_id":"%x","$ip":"203.0.113.%d",`+
				`"$lib":"web","$lib_version":"1.%d.0","$os":"Mac OS X","$pathname":"/products/%d","$referrer":"https://www.google.com/","$screen_height":1080,"$screen_width":1920,`+
				`"$session_id":"%x","$set":{"email":"user%d@example.com","plan":"pro"},"$set_once":{"$initial_referrer":"$direct"},"$time":%d.%03d,"$window_id":"%x",`+
				`"price":%d.99,"tags":["a","b","caf\u00e9"],"title":"Product number %d, which has a name of some length"}`,
				90+random.IntN(40), random.IntN(10000), random.Uint64(), random.Uint64(), random.IntN(256), random.IntN(200), random.IntN(10000),
				random.Uint64(), random.IntN(100000), 1700000000+random.IntN(1000000), random.IntN(1000), random.Uint64(), random.IntN(500), random.IntN(10000)))
			text(3, "")
			text(4, fmt.Sprintf("user-%d", random.IntN(100000)))
			builder.Field(5).(*array.Int64Builder).Append(1)
			builder.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + random.Int64N(3_600_000_000)))
			text(7, fmt.Sprintf(`{"email":"user%d@example.com","name":"A B","plan":"pro"}`, random.IntN(100000)))
			done++
		}
		batches = append(batches, builder.NewRecordBatch())
		builder.Release()
	}
	return batches
}
