package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
)

// A shelf keeps staged files in memory.
type shelf struct {
	files []*memoryFile
	fails error
}

type memoryFile struct {
	bytes.Buffer
	key       string
	finished  bool
	discarded bool
}

// Create is the Store's.
func (s *shelf) Create(_ context.Context, key string) (File, error) {
	if s.fails != nil {
		return nil, s.fails
	}
	s.files = append(s.files, &memoryFile{key: key})
	return s.files[len(s.files)-1], nil
}

// Finish is the File's.
func (f *memoryFile) Finish(context.Context) (json.RawMessage, error) {
	f.finished = true
	return json.RawMessage(`"ref of ` + f.key + `"`), nil
}

// Discard is the File's.
func (f *memoryFile) Discard() { f.discarded = true }

// readerOf streams rows with a timestamp (nil = null) and text that does not compress.
func readerOf(t *testing.T, timestamps []*time.Time, textBytes int) array.RecordReader {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: "text", Type: arrow.BinaryTypes.String},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	random := rand.New(rand.NewPCG(1, 2))
	for _, at := range timestamps {
		if at == nil {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.TimestampBuilder).AppendTime(*at)
		}
		var text strings.Builder
		for text.Len() < textBytes {
			fmt.Fprintf(&text, "%016x", random.Uint64())
		}
		b.Field(1).(*array.StringBuilder).Append(text.String())
	}
	rows := b.NewRecordBatch()
	defer rows.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{rows})
	require.NoError(t, err)
	t.Cleanup(reader.Release)
	return reader
}

func jobOf(split, splits int) destinations.Job {
	start := time.Date(2023, 4, 24, 0, 0, 0, 0, time.UTC)
	return destinations.Job{Run: runOf(start, start.Add(time.Hour)), Split: split, Splits: splits, Attempt: 1}
}

func TestStageRollsFiles(t *testing.T) {
	t.Parallel()
	timestamps := make([]*time.Time, 5000)
	base := time.Date(2023, 4, 24, 0, 30, 0, 0, time.UTC)
	for i := range timestamps {
		timestamps[i] = ptr(base.Add(time.Duration(i) * time.Second))
	}
	for name, c := range map[string]struct {
		config Config
		files  int // at least; 1 = exactly
	}{
		"one file":         {Config{FileFormat: "JSONLines"}, 1},
		"JSONLines":        {Config{FileFormat: "JSONLines", MaxFileSize: ptr(int64(1))}, 3},
		"JSONLines gzip":   {Config{FileFormat: "JSONLines", Compression: ptr("gzip"), MaxFileSize: ptr(int64(1))}, 2},
		"JSONLines brotli": {Config{FileFormat: "JSONLines", Compression: ptr("brotli"), MaxFileSize: ptr(int64(1))}, 2},
		"CSV":              {Config{FileFormat: "CSV", MaxFileSize: ptr(int64(1))}, 3},
		"Parquet zstd":     {Config{FileFormat: "Parquet", Compression: ptr("zstd"), MaxFileSize: ptr(int64(1))}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{}
			receipt, err := Stage(t.Context(), jobOf(2, 3), c.config, readerOf(t, timestamps, 1000), s)
			require.NoError(t, err)
			require.Equal(t, int64(len(timestamps)), receipt.Rows)
			require.Len(t, receipt.Objects, len(s.files))
			if c.files == 1 {
				require.Len(t, s.files, 1)
			} else {
				require.GreaterOrEqual(t, len(s.files), c.files)
			}
			var first int64
			for i, o := range receipt.Objects {
				f := s.files[i]
				require.True(t, f.finished)
				require.Equal(t, f.key, o.Key)
				require.Equal(t, int64(f.Len()), o.Bytes)
				sum := sha256.Sum256(f.Bytes())
				require.Equal(t, hex.EncodeToString(sum[:]), o.SHA256)
				require.JSONEq(t, `"ref of `+f.key+`"`, string(o.Ref))
				require.True(t, timestamps[first].Equal(*o.MinTimestamp))
				first += o.Rows
				require.True(t, timestamps[first-1].Equal(*o.MaxTimestamp))
				if c.config.MaxFileSize != nil {
					require.Contains(t, o.Key, fmt.Sprintf("-%d.", 20_000+i))
					require.Less(t, o.Bytes, int64(5<<20/2), "a file is much larger than it may be")
				}
				if c.config.MaxFileSize != nil && i < len(s.files)-1 {
					require.Greater(t, o.Bytes, int64(1<<20*7/10), "a file is much smaller than it may be")
				}
			}
			require.Equal(t, []destinations.Column{{Name: "timestamp", Type: "timestamp"}, {Name: "text", Type: "string"}}, receipt.Schema)
		})
	}
}

func TestStageWithoutRowsMakesNoFile(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	receipt, err := Stage(t.Context(), jobOf(0, 1), Config{FileFormat: "JSONLines"}, readerOf(t, nil, 0), s)
	require.NoError(t, err)
	require.Empty(t, s.files)
	require.Zero(t, receipt.Rows)
	require.Len(t, receipt.Schema, 2)
}

func TestTimestampBounds(t *testing.T) {
	t.Parallel()
	early, late := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for name, c := range map[string]struct {
		timestamps []*time.Time
		low, high  *time.Time
	}{
		"in any order, nulls apart": {[]*time.Time{nil, &late, &early, nil}, &early, &late},
		"one":                       {[]*time.Time{&late}, &late, &late},
		"only nulls":                {[]*time.Time{nil}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receipt, err := Stage(t.Context(), jobOf(0, 1), Config{FileFormat: "JSONLines"}, readerOf(t, c.timestamps, 1), &shelf{})
			require.NoError(t, err)
			require.Equal(t, c.low, receipt.Objects[0].MinTimestamp)
			require.Equal(t, c.high, receipt.Objects[0].MaxTimestamp)
		})
	}
}

func TestBoundsAreThoseOfTheClock(t *testing.T) {
	t.Parallel()
	instant := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "timestamp", Type: instant}, {Name: "changed_at", Type: instant},
	}, nil)
	for name, c := range map[string]struct {
		clock string
		want  int
	}{
		"the model names one":                   {"changed_at", 2},
		"the one of events":                     {"timestamp", 1},
		"none is named: that of events will do": {"", 1},
		"the rows do not have it":               {"happened_at", -1},
		"it is no time":                         {"id", -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, clockIndex(schema, c.clock))
		})
	}
}

func TestStageFailures(t *testing.T) {
	t.Parallel()
	now := time.Now()
	full := batch.Errorf(batch.CodeNoSpace, errors.New("cause"), "the disk is full")
	_, err := Stage(t.Context(), jobOf(0, 1), Config{FileFormat: "JSONLines"}, readerOf(t, []*time.Time{&now}, 1), &shelf{fails: full})
	require.ErrorIs(t, err, full)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the worker goes")
	cancel(gone)
	s := &shelf{}
	_, err = Stage(ctx, jobOf(0, 1), Config{FileFormat: "JSONLines"}, readerOf(t, []*time.Time{&now}, 1), s)
	require.ErrorIs(t, err, gone)
	require.Empty(t, s.files)
}
