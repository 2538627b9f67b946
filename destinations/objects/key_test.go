package objects

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
	"tranche/destinations"
)

func runOf(start, end time.Time) destinations.Run {
	return destinations.Run{
		ID: uuid.MustParse("0190f0a0-0000-7000-8000-000000000001"), ExportID: uuid.MustParse("0190f0a0-0000-7000-8000-000000000002"),
		Model: batch.ModelEvents, Interval: batch.Interval{Start: start, End: end}, Generation: 2,
	}
}

func ptr[T any](v T) *T { return &v }

func TestKeys(t *testing.T) {
	t.Parallel()
	start := time.Date(2023, 4, 24, 0, 0, 0, 0, time.UTC)
	hour := runOf(start, start.Add(time.Hour))
	const interval = "2023-04-24T00:00:00+00:00-2023-04-24T01:00:00+00:00"
	for name, c := range map[string]struct {
		run     destinations.Run
		config  Config
		want    string
		warning string
	}{
		"no prefix, no number": {run: hour, config: Config{FileFormat: "JSONLines"}, want: interval + ".jsonl"},
		"a codec":              {run: hour, config: Config{FileFormat: "JSONLines", Compression: ptr("gzip"), Prefix: "a"}, want: "a/" + interval + ".jsonl.gz"},
		"Parquet has no suffix for the codec": {
			run: hour, config: Config{FileFormat: "Parquet", Compression: ptr("zstd"), Prefix: "a/"},
			want: "a/" + interval + ".parquet",
		},
		"a number whenever files have a largest size": {run: hour, config: Config{FileFormat: "CSV", MaxFileSize: ptr(int64(1))}, want: interval + "-7.csv"},
		"no number when the largest size is 0":        {run: hour, config: Config{FileFormat: "CSV", MaxFileSize: ptr(int64(0))}, want: interval + ".csv"},
		"an absolute prefix loses its slash":          {run: hour, config: Config{FileFormat: "CSV", Prefix: "//a//b/"}, want: "a/b/" + interval + ".csv"},
		"an open start": {
			run: runOf(time.Time{}, start), config: Config{FileFormat: "CSV", Prefix: "{data_interval_start}"},
			want: "START/START-2023-04-24T00:00:00+00:00.csv",
		},
		"every variable, of the end": {
			run:    runOf(start, time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)),
			config: Config{FileFormat: "CSV", Prefix: "{table}/{year}-{month}-{day}/{hour}{minute}{second}/{data_interval_start}/{data_interval_end}"},
			want: "events/2024-01-02/030405/2023-04-24T00:00:00+00:00/2024-01-02T03:04:05+00:00/" +
				"2023-04-24T00:00:00+00:00-2024-01-02T03:04:05+00:00.csv",
		},
		"other zones are written as UTC": {
			run:    runOf(start.In(time.FixedZone("", 3600)), start.Add(time.Hour).In(time.FixedZone("", 3600))),
			config: Config{FileFormat: "CSV"}, want: interval + ".csv",
		},
		"microseconds show": {
			run: runOf(start.Add(time.Microsecond), start.Add(time.Hour)), config: Config{FileFormat: "CSV"},
			want: "2023-04-24T00:00:00.000001+00:00-2023-04-24T01:00:00+00:00.csv",
		},
		"doubled braces":             {run: hour, config: Config{FileFormat: "CSV", Prefix: "{{year}}"}, want: "{year}/" + interval + ".csv"},
		"an unknown variable":        {run: hour, config: Config{FileFormat: "CSV", Prefix: "{team}/{year}"}, want: "{team}/{year}/" + interval + ".csv", warning: "no variable {team}"},
		"an open brace":              {run: hour, config: Config{FileFormat: "CSV", Prefix: "{year"}, want: "{year/" + interval + ".csv", warning: "braces"},
		"a closing brace":            {run: hour, config: Config{FileFormat: "CSV", Prefix: "year}"}, want: "year}/" + interval + ".csv", warning: "braces"},
		"a brace in a brace":         {run: hour, config: Config{FileFormat: "CSV", Prefix: "{ye{ar}"}, want: "{ye{ar}/" + interval + ".csv", warning: "braces"},
		"a variable without name":    {run: hour, config: Config{FileFormat: "CSV", Prefix: "{}"}, want: "{}/" + interval + ".csv", warning: "no variable {}"},
		"a format after a variable":  {run: hour, config: Config{FileFormat: "CSV", Prefix: "{year:>9}"}, want: "{year:>9}/" + interval + ".csv", warning: "no variable"},
		"the model is the table too": {run: hour, config: Config{FileFormat: "CSV", Prefix: "{table}"}, want: "events/" + interval + ".csv"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := KeysOf(c.run, c.config)
			require.Equal(t, c.want, keys.Object(7))
			if c.warning == "" {
				require.Empty(t, keys.Warning)
			} else {
				require.Contains(t, keys.Warning, c.warning)
			}
		})
	}
	require.Equal(t, "a/"+interval+"_manifest.json", KeysOf(hour, Config{FileFormat: "CSV", Prefix: "a"}).Manifest())
}

func TestExpandNeverFailsOnWhatItEscaped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.StringMatching(`[a-z/{}._-]{0,20}`).Draw(t, "plain")
		escaped := ""
		for _, r := range plain {
			escaped += string(r)
			if r == '{' || r == '}' {
				escaped += string(r)
			}
		}
		got, err := expand(escaped, nil)
		require.NoError(t, err)
		require.Equal(t, plain, got)
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		split, splits, file, want int
		fails                     bool
	}{
		"one split counts on":               {split: 0, splits: 1, file: 12_345, want: 12_345},
		"the first of several":              {split: 0, splits: 3, file: 5, want: 5},
		"the third of several":              {split: 2, splits: 3, file: 1, want: 20_001},
		"the last that fits":                {split: 1, splits: 2, file: 9_999, want: 19_999},
		"one more would be another split's": {split: 1, splits: 2, file: 10_000, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := number(destinations.Job{Split: c.split, Splits: c.splits}, c.file)
			if c.fails {
				require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config Config
		err    string
	}{
		"the default":         {Config{FileFormat: "JSONLines"}, ""},
		"0 is no limit":       {Config{FileFormat: "JSONLines", MaxFileSize: ptr(int64(0))}, ""},
		"a negative size":     {Config{FileFormat: "JSONLines", MaxFileSize: ptr(int64(-1))}, "'max_file_size_mb' must be between 1 and 5242880"},
		"a size that is none": {Config{FileFormat: "JSONLines", MaxFileSize: ptr(int64(1 << 60))}, "'max_file_size_mb' must be between 1 and 5242880"},
		"an unknown format":   {Config{FileFormat: "XLS"}, "File format XLS is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']"},
		"an unknown codec": {
			Config{FileFormat: "JSONLines", Compression: ptr("zstd")},
			"Compression zstd is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']",
		},
		"an empty codec": {Config{FileFormat: "JSONLines", Compression: ptr("")}, "Compression '' is not supported. Send null for files that are not compressed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.config.Validate()
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.err)
			require.ErrorAs(t, err, new(*destinations.ConfigError))
		})
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	start := time.Date(2023, 4, 24, 0, 0, 0, 0, time.UTC)
	schema := []destinations.Column{{Name: "uuid", Type: "string"}}
	object := func(key string, rows int64) destinations.StagedObject {
		return destinations.StagedObject{Object: batch.Object{Key: key, Rows: rows, Bytes: 10 * rows, SHA256: "ab", MinTimestamp: &start, MaxTimestamp: &start}}
	}
	receipts := []destinations.Receipt{
		{Split: 1, Schema: schema, Objects: []destinations.StagedObject{object("c&d", 3)}},
		{Split: 0, Schema: schema, Objects: []destinations.StagedObject{object("a", 1), object("b", 2)}},
		{Split: 2, Schema: schema},
	}
	run := runOf(start, start.Add(time.Hour))
	m := ManifestOf(run, receipts)
	body, err := m.Encode()
	require.NoError(t, err)
	require.JSONEq(t, `{"version":1,"batch_export_id":"0190f0a0-0000-7000-8000-000000000002","run_id":"0190f0a0-0000-7000-8000-000000000001",
		"model":"events","data_interval_start":"2023-04-24T00:00:00Z","data_interval_end":"2023-04-24T01:00:00Z","attempt":2,"rows":6,"bytes":60,
		"schema":[{"name":"uuid","type":"string"}],"files":["a","b","c&d"],"objects":[
		{"key":"a","rows":1,"bytes":10,"sha256":"ab","min_timestamp":"2023-04-24T00:00:00Z","max_timestamp":"2023-04-24T00:00:00Z"},
		{"key":"b","rows":2,"bytes":20,"sha256":"ab","min_timestamp":"2023-04-24T00:00:00Z","max_timestamp":"2023-04-24T00:00:00Z"},
		{"key":"c&d","rows":3,"bytes":30,"sha256":"ab","min_timestamp":"2023-04-24T00:00:00Z","max_timestamp":"2023-04-24T00:00:00Z"}]}`, string(body))
	require.Contains(t, string(body), "c&d")
	receipts[0], receipts[1] = receipts[1], receipts[0]
	again, err := ManifestOf(run, receipts).Encode()
	require.NoError(t, err)
	require.Equal(t, string(body), string(again), "the same receipts in another order")
	open, err := ManifestOf(runOf(time.Time{}, start), receipts).Encode()
	require.NoError(t, err)
	require.Contains(t, string(open), `"data_interval_start": null`)
}
