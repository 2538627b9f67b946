package duckdb_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/dev/duckdb"
	"tranche/dev/duckdb/engine"
	"tranche/query"
	"tranche/sources"
)

const (
	uuid1 = "0197a3f0-0000-7000-8000-000000000001"
	uuid2 = "0197a3f0-0000-7000-8000-000000000002"
	uuid3 = "0197a3f0-0000-7000-8000-000000000003"
)

// write writes a file; files of one name in one test need several folders.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func lines(rows ...string) []byte { return []byte(strings.Join(rows, "\n")) }

// minimal is a row with what is required, and more members.
func minimal(uuid string, more ...string) string {
	row := fmt.Sprintf(`{"uuid":%q,"event":"signup","distinct_id":"u1","timestamp":"2026-03-01T12:00:00Z"`, uuid)
	for _, m := range more {
		row += "," + m
	}
	return row + "}"
}

// packed is the content as gzip. Writing to memory does not fail.
func packed(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

// A file is one to be made: of text, or of what DuckDB writes as Parquet.
type file struct {
	name string
	text []byte
	sql  string
}

func (f file) make(t *testing.T) string {
	t.Helper()
	if f.sql != "" {
		return parquet(t, f.name, f.sql)
	}
	return write(t, f.name, f.text)
}

// parquet has DuckDB write the rows of a SELECT to a file.
func parquet(t *testing.T, name, sql string) string {
	t.Helper()
	d, err := engine.Open("", nil)
	require.NoError(t, err)
	defer d.Close()
	c, err := d.Connect()
	require.NoError(t, err)
	defer c.Close()
	path := filepath.Join(t.TempDir(), name)
	require.NotContains(t, path, "'")
	_, err = c.Exec(t.Context(), "COPY ("+sql+") TO '"+path+"' (FORMAT parquet)")
	require.NoError(t, err)
	return path
}

// stored reads the team's events with every column as text, by uuid.
func stored(t *testing.T, s *duckdb.Store, team int64) map[string]map[query.Field]string {
	t.Helper()
	fields := []query.Field{
		query.FieldUUID, query.FieldEvent, query.FieldDistinctID, query.FieldTimestamp, query.FieldInsertedAt,
		query.FieldCreatedAt, query.FieldProperties, query.FieldPersonProperties, query.FieldPersonID, query.FieldElementsChain,
	}
	q := query.Query{TeamID: team, Model: batch.ModelEvents, Interval: batch.Interval{End: time.Now().Add(time.Hour)}}
	for _, f := range fields {
		q.Columns = append(q.Columns, query.Column{Name: string(f), Field: f})
	}
	reader, err := s.Open(t.Context(), q, sources.Split{Range: q.Interval})
	require.NoError(t, err)
	defer reader.Release()
	all := map[string]map[query.Field]string{}
	for reader.Next() {
		records := reader.RecordBatch()
		for row := range int(records.NumRows()) {
			values := map[query.Field]string{}
			for i, f := range fields {
				if records.Column(i).IsValid(row) {
					values[f] = strings.Clone(records.Column(i).ValueStr(row))
				}
			}
			all[values[query.FieldUUID]] = values
		}
	}
	require.NoError(t, reader.Err())
	return all
}

func TestWhatIsAbsentGetsItsDefault(t *testing.T) {
	t.Parallel()
	files := map[string]file{
		"jsonl":                  {name: "e.jsonl", text: lines(minimal(uuid1))},
		"jsonl, nulls":           {name: "e.jsonl", text: lines(minimal(uuid1, `"inserted_at":null,"created_at":null,"team_id":null,"properties":null,"person_properties":null,"person_id":null,"elements_chain":null`))},
		"jsonl, packed":          {name: "E.JSONL.GZ", text: packed(lines(minimal(uuid1)))},
		"jsonl, line ends":       {name: "e.jsonl", text: []byte("\r\n\n" + minimal(uuid1) + "\r\n\n")},
		"jsonl, unknown members": {name: "e.jsonl", text: lines(minimal(uuid1, `"UUID":"nonsense","Event":1,"other":{"a":1}`))},
		"csv":                    {name: "e.csv", text: lines("uuid,event,distinct_id,timestamp", uuid1+",signup,u1,2026-03-01T12:00:00Z")},
		"csv, empty cells": {name: "e.csv", text: lines("\ufeffuuid,event,ignored,distinct_id,timestamp,inserted_at,created_at,team_id,properties,person_properties,person_id,elements_chain",
			uuid1+",signup,x,u1,2026-03-01 12:00:00,,,,,,,")},
		"csv, packed":    {name: "e.csv.gz", text: packed(lines("uuid,event,distinct_id,timestamp", uuid1+",signup,u1,2026-03-01T12:00:00Z"))},
		"parquet":        {name: "e.parquet", sql: "SELECT '" + uuid1 + "' uuid, 'signup' AS event, 'u1' distinct_id, TIMESTAMP '2026-03-01 12:00:00' AS \"timestamp\""},
		"parquet, nulls": {name: "e.parquet", sql: "SELECT '" + uuid1 + "'::UUID uuid, 'signup' AS event, 'u1' distinct_id, TIMESTAMPTZ '2026-03-01 13:00:00+01' AS \"timestamp\", NULL::TIMESTAMP inserted_at, NULL::BIGINT team_id, NULL::VARCHAR person_id, NULL::VARCHAR properties"},
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, duckdb.Options{})
			before := time.Now().Truncate(time.Microsecond)
			loaded, err := s.Load(t.Context(), file.make(t))
			require.NoError(t, err)
			require.Equal(t, duckdb.Loaded{Read: 1, Added: 1}, loaded)

			got := stored(t, s, 1)[uuid1]
			inserted, err := time.Parse("2006-01-02T15:04:05.999999Z", got[query.FieldInsertedAt])
			require.NoError(t, err)
			require.WithinRange(t, inserted, before, time.Now())
			require.Equal(t, map[query.Field]string{
				query.FieldUUID: uuid1, query.FieldEvent: "signup", query.FieldDistinctID: "u1",
				query.FieldTimestamp:  "2026-03-01T12:00:00Z",
				query.FieldInsertedAt: got[query.FieldInsertedAt],
				query.FieldCreatedAt:  got[query.FieldInsertedAt],
				query.FieldProperties: "{}", query.FieldElementsChain: "",
			}, got)
		})
	}
}

func TestEveryFormatGivesTheSameEvent(t *testing.T) {
	t.Parallel()
	want := map[query.Field]string{
		query.FieldUUID: uuid1, query.FieldEvent: "sign \"up\", now", query.FieldDistinctID: "Zoë",
		query.FieldTimestamp: "2026-03-01T12:00:00.123456Z", query.FieldInsertedAt: "2026-03-01T12:00:01Z", query.FieldCreatedAt: "2026-03-01T12:00:02Z",
		query.FieldProperties: `{"b": 1.50,  "a":[1,"x"]}`, query.FieldPersonProperties: `{"email":"z@e.com"}`,
		query.FieldPersonID: uuid2, query.FieldElementsChain: "a;div",
	}
	upper := strings.ToUpper(uuid1)
	for name, file := range map[string]file{
		"jsonl":                      {name: "e.jsonl", text: lines(`{"uuid":"` + upper + `","team_id":5,"event":"sign \"up\", now","distinct_id":"Zo\u00eb","timestamp":"2026-03-01T14:00:00.123456789+02:00","inserted_at":"2026-03-01T12:00:01","created_at":"2026-03-01 12:00:02.000000","properties":{"b": 1.50,  "a":[1,"x"]},"person_properties":{"email":"z@e.com"},"person_id":"` + uuid2 + `","elements_chain":"a;div"}`)},
		"jsonl with JSON in strings": {name: "e.jsonl", text: lines(`{"uuid":"` + upper + `","team_id":5,"event":"sign \"up\", now","distinct_id":"Zoë","timestamp":"2026-03-01T12:00:00.123456Z","inserted_at":"2026-03-01T12:00:01Z","created_at":"2026-03-01T12:00:02Z","properties":"{\"b\": 1.50,  \"a\":[1,\"x\"]}","person_properties":"{\"email\":\"z@e.com\"}","person_id":"` + uuid2 + `","elements_chain":"a;div"}`)},
		"csv": {name: "e.csv", text: lines("team_id,uuid,event,distinct_id,timestamp,inserted_at,created_at,properties,person_properties,person_id,elements_chain",
			`5,`+upper+`,"sign ""up"", now",Zoë,2026-03-01 14:00:00.123456+02,2026-03-01T12:00:01Z,2026-03-01 12:00:02,"{""b"": 1.50,  ""a"":[1,""x""]}","{""email"":""z@e.com""}",`+uuid2+`,a;div`)},
		"parquet": {name: "a[1]*?.parquet", sql: `SELECT 5::INTEGER team_id, '` + upper + `' uuid, 'sign "up", now'::BLOB AS event, 'Zoë' distinct_id, TIMESTAMP_NS '2026-03-01 12:00:00.123456789' AS "timestamp", '2026-03-01T12:00:01Z' inserted_at, TIMESTAMP_MS '2026-03-01 12:00:02' created_at, '{"b": 1.50,  "a":[1,"x"]}'::JSON properties, {'email': 'z@e.com'} person_properties, '` + uuid2 + `'::UUID person_id, 'a;div' elements_chain, 1 AS ignored`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, duckdb.Options{})
			_, err := s.Load(t.Context(), file.make(t))
			require.NoError(t, err)
			require.Equal(t, map[string]map[query.Field]string{uuid1: want}, stored(t, s, 5))
		})
	}
}

func TestPropertiesStayAsTheyAreByteForByte(t *testing.T) {
	t.Parallel()
	texts := []string{
		`{"a":1,"a":2}`, `{ "x" : 1e400 , "y":-0.0,"z":123456789012345678901234567890}`, `{"u":"\u00e9\u0000\ud800","é":"é"}`,
		"{\"t\":\t[ ]}", `[]`, `"text"`, `{"slash":"\/","html":"<&>"}`, `{"deep":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
		`{"long":"` + strings.Repeat("é", 200_000) + `"}`,
	}
	var rows []string
	want := map[string]string{}
	for i, text := range texts {
		id := fmt.Sprintf("0197a3f0-0000-7000-8000-%012d", i)
		if text[0] == '"' {
			want[id] = "{}"
			rows = append(rows, minimal(id, `"properties":"{}"`)) // a string is taken for the JSON that it holds
			continue
		}
		want[id] = text
		rows = append(rows, minimal(id, `"properties":`+text))
	}
	s := open(t, duckdb.Options{})
	_, err := s.Load(t.Context(), write(t, "e.jsonl", lines(rows...)))
	require.NoError(t, err)
	got := stored(t, s, 1)
	require.Len(t, got, len(want))
	for id, text := range want {
		require.Equal(t, text, got[id][query.FieldProperties])
	}
}

func TestTheFirstOfAUUIDWins(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Options{})
	named := func(id, name string) string { return minimal(id, `"elements_chain":"`+name+`"`) }

	loaded, err := s.Load(t.Context(),
		write(t, "a.jsonl", lines(named(uuid1, "first"), named(uuid1, "second"), named(strings.ToUpper(uuid1), "third"))),
		write(t, "b.jsonl", lines(named(uuid1, "fourth"), named(uuid2, "first"))))
	require.NoError(t, err)
	require.Equal(t, duckdb.Loaded{Read: 5, Added: 2, Skipped: 3}, loaded)

	loaded, err = s.Load(t.Context(), write(t, "c.jsonl", lines(named(uuid2, "second"), named(uuid3, "first"))))
	require.NoError(t, err)
	require.Equal(t, duckdb.Loaded{Read: 2, Added: 1, Skipped: 1}, loaded)

	got := stored(t, s, 1)
	require.Len(t, got, 3)
	for _, row := range got {
		require.Equal(t, "first", row[query.FieldElementsChain])
	}
}

func TestAFileThatCannotBeReadLoadsNothing(t *testing.T) {
	t.Parallel()
	good := minimal(uuid1)
	header := "uuid,event,distinct_id,timestamp"
	long := strings.Repeat("x", 64<<20)
	for name, test := range map[string]struct {
		file   string
		text   []byte
		row    int64
		reason string
	}{
		"jsonl, not JSON":               {"e.jsonl", lines(good, "", "nonsense"), 3, "not valid JSON"},
		"jsonl, cut within a line":      {"e.jsonl", lines(good, good[:40]), 2, "not valid JSON"},
		"jsonl, two values on a line":   {"e.jsonl", lines(good + good), 1, "not valid JSON"},
		"jsonl, an array":               {"e.jsonl", lines("[" + good + "]"), 1, "not a JSON object"},
		"jsonl, null":                   {"e.jsonl", lines("null"), 1, "not a JSON object"},
		"jsonl, bytes that are no text": {"e.jsonl", []byte(good + "\n" + `{"uuid":"` + "\xff" + `"}`), 2, "not valid UTF-8"},
		"jsonl, a line without end":     {"e.jsonl", []byte(good + "\n" + long + "x"), 2, "longer than 64 MiB"},
		"jsonl, a required null":        {"e.jsonl", lines(strings.Replace(good, `"signup"`, "null", 1)), 1, "event is missing"},
		"jsonl, a required one missing": {"e.jsonl", lines(good, `{"uuid":"`+uuid2+`","event":"e","timestamp":"2026-03-01T12:00:00Z"}`), 2, "distinct_id is missing"},
		"jsonl, a number for a string":  {"e.jsonl", lines(strings.Replace(good, `"u1"`, "5", 1)), 1, "distinct_id is not a string"},
		"jsonl, not a UUID":             {"e.jsonl", lines(good, minimal("0197a3f000007000800000000000000z1234")), 2, "uuid is not a UUID"},
		"jsonl, a UUID in braces":       {"e.jsonl", lines(minimal("{" + uuid1 + "}")), 1, "uuid is not a UUID"},
		"jsonl, not a time":             {"e.jsonl", lines(strings.Replace(good, "2026-03-01T12", "2026-02-30T12", 1)), 1, "timestamp is not a timestamp"},
		"jsonl, not an ingestion time":  {"e.jsonl", lines(minimal(uuid1, `"inserted_at":"yesterday"`)), 1, "inserted_at is not a timestamp"},
		"jsonl, a fraction for a team":  {"e.jsonl", lines(minimal(uuid1, `"team_id":1.5`)), 1, "team_id is not an integer"},
		"jsonl, a team beyond 64 bits":  {"e.jsonl", lines(minimal(uuid1, `"team_id":9223372036854775808`)), 1, "team_id is not an integer"},
		"jsonl, text for properties":    {"e.jsonl", lines(minimal(uuid1, `"properties":"hello"`)), 1, "properties is not valid JSON"},
		"gzip, cut":                     {"e.jsonl.gz", packed(bytes.Repeat([]byte(good+"\n"), 1000))[:120], 0, "cut short"},
		"gzip, not packed":              {"e.jsonl.gz", lines(good), 0, "not an intact gzip file"},
		"gzip, empty":                   {"e.jsonl.gz", nil, 0, "not an intact gzip file"},
		"csv, empty":                    {"e.csv", nil, 0, "no header"},
		"csv, a column missing":         {"e.csv", lines("uuid,event,timestamp", ""), 0, "lacks the column distinct_id"},
		"csv, a column twice":           {"e.csv", lines(header + ",event"), 0, "event twice"},
		"csv, a short record":           {"e.csv", lines(header, uuid1+",e,d,2026-03-01T12:00:00Z", uuid2+",e"), 2, "wrong number of fields"},
		"csv, a stray quote":            {"e.csv", lines(header, uuid1+`,e"x,d,2026-03-01T12:00:00Z`), 1, "bare"},
		"csv, a quote without end":      {"e.csv", []byte(header + "\n" + uuid1 + `,"` + long + long), 1, "longer than 64 MiB"},
		"csv, an empty required cell":   {"e.csv", lines(header, uuid1+",,d,2026-03-01T12:00:00Z"), 1, "event is missing"},
		"csv, bytes that are no text":   {"e.csv", lines(header, uuid1+",\xff,d,2026-03-01T12:00:00Z"), 1, "event is not valid UTF-8"},
		"parquet, other content":        {"e.parquet", lines(good), 0, "cannot be read as Parquet"},
		"another ending":                {"e.json", lines(good), 0, "the name must end in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, duckdb.Options{})
			path := write(t, test.file, test.text)
			_, err := s.Load(t.Context(), write(t, "good.jsonl", lines(minimal(uuid3))), path)
			var failure *duckdb.LoadError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, path, failure.File)
			if test.row > 0 {
				require.Equal(t, test.row, failure.Row)
			}
			require.ErrorContains(t, err, test.reason)
			require.NotContains(t, err.Error(), "\n")
			require.Empty(t, stored(t, s, 1))

			loaded, err := s.Load(t.Context(), write(t, "good.jsonl", lines(minimal(uuid3))))
			require.NoError(t, err, "the store is usable")
			require.Equal(t, int64(1), loaded.Added)
		})
	}
}

func TestAParquetFileWithWrongValuesNamesTheRow(t *testing.T) {
	t.Parallel()
	const rest = `, 'e' AS event, 'd' distinct_id, TIMESTAMP '2026-03-01 12:00:00' "timestamp"`
	for name, test := range map[string]struct {
		sql    string
		row    int64
		reason string
	}{
		"a column missing":      {"SELECT 'x' uuid, 'e' AS event", 0, "lacks the column"},
		"not a UUID":            {"SELECT CASE WHEN i = 4999 THEN 'x' ELSE uuid()::VARCHAR END uuid" + rest + " FROM range(6000) a(i)", 5000, "uuid is not a UUID"},
		"a number for a time":   {"SELECT '" + uuid1 + "' uuid, 'e' AS event, 'd' distinct_id, 1772366400 \"timestamp\"", 1, "timestamp is not a timestamp"},
		"a time without an end": {"SELECT '" + uuid1 + "' uuid, 'e' AS event, 'd' distinct_id, 'infinity'::TIMESTAMP \"timestamp\"", 1, "timestamp is not a timestamp"},
		"a time before Christ":  {"SELECT '" + uuid1 + "' uuid, 'e' AS event, 'd' distinct_id, '0044-03-15 (BC) 12:00:00'::TIMESTAMP \"timestamp\"", 1, "timestamp is not a timestamp"},
		"a null":                {"SELECT NULL::VARCHAR uuid" + rest, 1, "uuid is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, duckdb.Options{})
			_, err := s.Load(t.Context(), parquet(t, "e.parquet", test.sql))
			var failure *duckdb.LoadError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.row, failure.Row)
			require.ErrorContains(t, err, test.reason)
			require.Empty(t, stored(t, s, 1))
		})
	}
}

func TestWhatIsNoRegularFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.jsonl")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	folder := filepath.Join(dir, "folder.jsonl")
	require.NoError(t, os.Mkdir(folder, 0o700))
	device := filepath.Join(dir, "device.jsonl")
	require.NoError(t, os.Symlink(os.DevNull, device))
	s := open(t, duckdb.Options{})
	for path, reason := range map[string]string{
		pipe: "not a regular file", folder: "not a regular file", device: "not a regular file",
		filepath.Join(dir, "missing.jsonl"): "no such file", filepath.Join(dir, "*.parquet"): "no such file",
	} {
		_, err := s.Load(t.Context(), path)
		var failure *duckdb.LoadError
		require.ErrorAs(t, err, &failure)
		require.ErrorContains(t, err, path+": ")
		require.ErrorContains(t, err, reason)
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, duckdb.Options{})
	var rows []string
	for i := range 20_000 {
		rows = append(rows, minimal(fmt.Sprintf("0197a3f0-0000-7000-8000-%012d", i)))
	}
	path := write(t, "e.jsonl", lines(rows...))
	for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := s.Load(ctx, path)
		cancel()
		if err == nil {
			return // the machine was faster
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, stored(t, s, 1))
	}
}

func TestEventsOutliveTheStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a 'quoted' % folder?#.duckdb")
	for range 3 {
		s, err := duckdb.Open(t.Context(), path, duckdb.Options{})
		require.NoError(t, err)
		_, err = s.Load(t.Context(), write(t, "e.jsonl", lines(minimal(uuid1))))
		require.NoError(t, err)
		require.Len(t, stored(t, s, 1), 1)
		require.NoError(t, s.Close())
	}
}

func TestReadersAndLoadsAtOnce(t *testing.T) {
	t.Parallel()
	const files, perFile = 8, 500
	s := open(t, duckdb.Options{})
	loads := make(chan error, files)
	for f := range files {
		var rows []string
		for i := range perFile {
			rows = append(rows, minimal(fmt.Sprintf("0197a3f0-0000-7000-8000-%012d", f*perFile+i)))
		}
		path := write(t, "e.jsonl", lines(rows...))
		go func() {
			_, err := s.Load(t.Context(), path)
			loads <- err
		}()
	}
	for done := 0; done < files; {
		select {
		case err := <-loads:
			require.NoError(t, err)
			done++
		default:
		}
		require.Zero(t, len(stored(t, s, 1))%perFile, "a file is seen whole or not at all")
	}
	require.Len(t, stored(t, s, 1), files*perFile)
}
