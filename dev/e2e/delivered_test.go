package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A manifest lists what a run delivered, as a reader sees it.
type manifest struct {
	Version int
	Export  uuid.UUID  `json:"batch_export_id"`
	Run     uuid.UUID  `json:"run_id"`
	Model   string     `json:"model"`
	Start   *time.Time `json:"data_interval_start"`
	End     time.Time  `json:"data_interval_end"`
	Rows    int64
	Bytes   int64
	Files   []string
	Objects []struct {
		Key          string
		Rows, Bytes  int64
		SHA256       string     `json:"sha256"`
		MinTimestamp *time.Time `json:"min_timestamp"`
		MaxTimestamp *time.Time `json:"max_timestamp"`
	}
	text []byte
}

// A deliveredRow is a row of a delivered file.
type deliveredRow struct {
	UUID             uuid.UUID
	Timestamp        string
	InsertedAt       string `json:"_inserted_at"`
	CreatedAt        string `json:"created_at"`
	Event            string
	Properties       json.RawMessage
	DistinctID       string          `json:"distinct_id"`
	Elements         string          `json:"elements_chain"`
	PersonProperties json.RawMessage `json:"person_properties"`
	PersonID         *string         `json:"person_id"`
}

// A delivered is all that a reader finds in a folder of exports.
type delivered struct {
	manifests []manifest
	files     map[string][]byte // by key, manifests left out
}

// readDelivered reads what is visible below a folder of exports and checks that it is whole: every file belongs to a
// manifest, and every manifest agrees with its files.
func readDelivered(t *testing.T, root string) delivered {
	t.Helper()
	d := delivered{files: map[string][]byte{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".staging" {
				return fs.SkipDir
			}
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(path, "_manifest.json") {
			key, err := filepath.Rel(root, path)
			d.files[filepath.ToSlash(key)] = content
			return err
		}
		m := manifest{text: content}
		d.manifests = append(d.manifests, m)
		return json.Unmarshal(content, &d.manifests[len(d.manifests)-1])
	})
	require.NoError(t, err)
	d.check(t)
	return d
}

func (d delivered) check(t *testing.T) {
	t.Helper()
	listed := map[string]bool{}
	for _, m := range d.manifests {
		require.Equal(t, 1, m.Version)
		var keys []string
		var rows, size int64
		for _, o := range m.Objects {
			require.False(t, listed[o.Key], "%s is listed twice", o.Key)
			listed[o.Key] = true
			keys, rows, size = append(keys, o.Key), rows+o.Rows, size+o.Bytes
			content, ok := d.files[o.Key]
			require.True(t, ok, "%s is listed and missing", o.Key)
			sum := sha256.Sum256(content)
			require.Equal(t, o.SHA256, hex.EncodeToString(sum[:]), "the checksum of %s", o.Key)
			require.Len(t, content, int(o.Bytes), "the size of %s", o.Key)
			require.Len(t, linesIn(t, content), int(o.Rows), "the rows of %s", o.Key)
			if m.Model == "events" {
				require.Len(t, rowsOf(t, content), int(o.Rows), "the rows of %s, one in a line", o.Key)
			}
			first, last := span(t, content, clocks[m.Model])
			require.Equal(t, first, o.MinTimestamp)
			require.Equal(t, last, o.MaxTimestamp)
		}
		require.Equal(t, m.Files, keys)
		require.Equal(t, m.Rows, rows)
		require.Equal(t, m.Bytes, size)
	}
	for key := range d.files {
		require.True(t, listed[key], "%s is visible and in no manifest", key)
	}
}

// linesIn are the lines of a delivered file.
func linesIn(t *testing.T, content []byte) []string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(text, []byte("\n")), "the last line is whole")
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// rowsOf takes a delivered file of events apart.
func rowsOf(t *testing.T, content []byte) []deliveredRow {
	t.Helper()
	var rows []deliveredRow
	for _, line := range linesIn(t, content) {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		var row deliveredRow
		require.NoError(t, decoder.Decode(&row), line)
		require.False(t, decoder.More(), line)
		rows = append(rows, row)
	}
	return rows
}

// clocks are the columns that say when a row of a model happened; persons have none.
var clocks = map[string]string{"events": "timestamp", "sessions": "end_timestamp", "orders": "changed_at"}

// span returns the earliest and the latest time of a file in a column; nils without one.
func span(t *testing.T, content []byte, column string) (first, last *time.Time) {
	t.Helper()
	if column == "" {
		return nil, nil
	}
	var times []time.Time
	for _, line := range linesIn(t, content) {
		var row map[string]json.RawMessage // properties may hold numbers that Go has no type for
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		var at string
		require.NoError(t, json.Unmarshal(row[column], &at), line)
		times = append(times, instantOf(t, at))
	}
	from, to := slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
	return &from, &to
}

// instantOf reads a time as files have it: six digits, in UTC.
func instantOf(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000000Z", text)
	require.NoError(t, err)
	return at.UTC()
}

// rows returns the rows of all files by uuid; none may be there twice.
func (d delivered) rows(t *testing.T) map[uuid.UUID]deliveredRow {
	t.Helper()
	all := map[uuid.UUID]deliveredRow{}
	for key, content := range d.files {
		for _, r := range rowsOf(t, content) {
			_, twice := all[r.UUID]
			require.False(t, twice, "the row %s of %s was delivered twice", r.UUID, key)
			all[r.UUID] = r
		}
	}
	return all
}

// manifestOf returns the manifest of the interval that ends at the time; false = there is none.
func (d delivered) manifestOf(end time.Time) (manifest, bool) {
	i := slices.IndexFunc(d.manifests, func(m manifest) bool { return m.End.Equal(end) })
	if i < 0 {
		return manifest{}, false
	}
	return d.manifests[i], true
}

// requireEvents checks that what was delivered is exactly the events, value by value.
func (d delivered) requireEvents(t *testing.T, want []event) {
	t.Helper()
	rows := d.rows(t)
	require.Len(t, rows, len(want))
	for _, e := range want {
		r, ok := rows[e.UUID]
		require.True(t, ok, "the event %s is missing", e.UUID)
		require.Equal(t, e.Name, r.Event)
		require.Equal(t, e.DistinctID, r.DistinctID)
		require.Equal(t, e.Elements, r.Elements)
		require.Equal(t, e.Timestamp.UTC(), instantOf(t, r.Timestamp))
		require.Equal(t, e.InsertedAt.UTC(), instantOf(t, r.InsertedAt))
		require.Equal(t, e.CreatedAt.UTC(), instantOf(t, r.CreatedAt))
		require.Equal(t, compact(t, e.Properties), compact(t, string(r.Properties)))
		person, id := "null", (*string)(nil)
		if e.PersonProperties != "" {
			person = e.PersonProperties
		}
		if e.PersonID != "" {
			id = &e.PersonID
		}
		require.Equal(t, compact(t, person), compact(t, string(r.PersonProperties)))
		require.Equal(t, id, r.PersonID)
	}
}

// compact takes white space out of JSON; numbers and strings stay as they are written.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(text)))
	return b.String()
}

// swept waits until nothing is left in the staging folder.
func swept(t *testing.T, root string) {
	t.Helper()
	var left []string
	until(t, workPatience, "an empty staging folder", func() bool {
		left = nil
		err := filepath.WalkDir(filepath.Join(root, ".staging"), func(path string, _ fs.DirEntry, err error) error {
			left = append(left, path)
			return err
		})
		return errors.Is(err, fs.ErrNotExist) || err == nil && len(left) == 1
	})
}
