package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/query"
	"tranche/sources"
)

// childRows names the environment variable that makes a test process a child which stages so many rows and prints the
// most memory that it had.
const childRows = "TRANCHE_TEST_STAGE_ROWS"

// TestMemoryIsFlatInTheSizeOfTheInterval: ten times the rows take as much memory. A process of its own has nothing but
// the one split in its memory.
func TestMemoryIsFlatInTheSizeOfTheInterval(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it stages two million rows")
	}
	for name, c := range map[string]Config{
		"Parquet":   {FileFormat: "Parquet", Compression: new("zstd")},
		"JSONLines": {FileFormat: "JSONLines", Compression: new("gzip")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rows, slack = 120_000, 96 << 20 // some 70 MB and 700: with the first, all that is held is full
			one, ten := peakOf(t, c, rows), peakOf(t, c, 10*rows)
			t.Logf("%d MiB with %d rows, %d MiB with ten times as many", one>>20, rows, ten>>20)
			require.Less(t, ten, one+slack, "%d MiB with 1x, %d MiB with 10x", one>>20, ten>>20)
			require.Less(t, ten, 128<<20+c.Memory()+sources.ReadAheadBytes, "%d MiB", ten>>20)
		})
	}
}

// peakOf stages rows in another process and returns the most memory that it had.
func peakOf(t *testing.T, c Config, rows int) int64 {
	t.Helper()
	body, err := json.Marshal(c)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestChildStagesRows$", "-test.v")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childRows, rows, body))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	t.Skipf("this system does not tell the most memory that a process had:\n%s", out)
	return 0
}

func TestChildStagesRows(t *testing.T) {
	t.Parallel()
	rows, body, child := strings.Cut(os.Getenv(childRows), " ")
	if !child {
		t.Skip("not a child of TestMemoryIsFlatInTheSizeOfTheInterval")
	}
	var n int
	_, err := fmt.Sscan(rows, &n)
	require.NoError(t, err)
	var c Config
	require.NoError(t, json.Unmarshal([]byte(body), &c))
	records, err := sources.ReadAhead(t.Context(), sources.ReadAheadBytes, func(context.Context) (array.RecordReader, error) {
		return &endless{left: n, random: rand.New(rand.NewPCG(1, 1))}, nil
	})
	require.NoError(t, err)
	defer records.Release()
	receipt, err := Stage(t.Context(), destinations.Job{Splits: 1, Attempt: 1}, c, records, nowhere{})
	require.NoError(t, err)
	require.EqualValues(t, n, receipt.Rows)
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, err = os.Stdout.Write(status)
	}
	require.NoError(t, err)
}

// nowhere is a Store that keeps nothing.
type nowhere struct{}

// Create is the Store's.
func (nowhere) Create(context.Context, string) (File, error) { return voidFile{io.Discard}, nil }

type voidFile struct{ io.Writer }

// Finish is the File's.
func (voidFile) Finish(context.Context) (json.RawMessage, error) { return json.RawMessage(`{}`), nil }

// Discard is the File's.
func (voidFile) Discard() {}

var someText = strings.Repeat(" and some text", 40)

// An endless reader makes its rows when they are asked for.
type endless struct {
	left    int
	random  *rand.Rand
	current arrow.RecordBatch
}

// Schema is the RecordReader's.
func (e *endless) Schema() *arrow.Schema {
	isJSON := arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})
	return arrow.NewSchema([]arrow.Field{
		{Name: "uuid", Type: arrow.BinaryTypes.String},
		{Name: "properties", Type: arrow.BinaryTypes.String, Metadata: isJSON},
	}, nil)
}

// Next is the RecordReader's.
func (e *endless) Next() bool {
	e.Release()
	n := min(e.left, 2048)
	e.left -= n
	b := array.NewRecordBuilder(memory.DefaultAllocator, e.Schema())
	defer b.Release()
	for range n {
		id := strconv.FormatUint(e.random.Uint64(), 16)
		b.Field(0).(*array.StringBuilder).Append(id)
		b.Field(1).(*array.StringBuilder).Append(`{"a":"` + id + someText + `"}`)
	}
	e.current = b.NewRecordBatch()
	return n > 0
}

// RecordBatch is the RecordReader's.
func (e *endless) RecordBatch() arrow.RecordBatch { return e.current }

// Record is RecordBatch by its old name.
func (e *endless) Record() arrow.RecordBatch { return e.current }

// Err is the RecordReader's.
func (e *endless) Err() error { return nil }

// Retain is the RecordReader's.
func (e *endless) Retain() {}

// Release is the RecordReader's.
func (e *endless) Release() {
	if e.current != nil {
		e.current.Release()
		e.current = nil
	}
}
