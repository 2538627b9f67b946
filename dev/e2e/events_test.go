package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// An event is a row as a file to be loaded has it. JSON is text, to be delivered as it is.
type event struct {
	UUID             uuid.UUID
	Team             int64
	Name, DistinctID string
	Timestamp        time.Time
	InsertedAt       time.Time
	CreatedAt        time.Time
	Properties       string
	PersonProperties string // empty = null
	PersonID         string // empty = null
	Elements         string
}

// nastyNames and nastyProperties have been the end of many an exporter.
var (
	nastyNames = []string{
		"$pageview", `he said "hi"`, "emoji 🦊 and 👩‍👩‍👧", "two\nlines\r\n", `back\slash`, "tab\there", "", " ", "null",
		"comma,semicolon;'quote'", "<script>&amp;", "\u2028line\u2029separators", "control \x01\x1f\x7f", "ünïcödé ﷽", "true",
	}
	nastyProperties = []string{
		`{}`,
		`{"n":12345678901234567890,"huge":1e400,"tiny":-1.5E-400,"zero":-0.0,"digits":0.1000000000000000055511151231257827}`,
		`{"quote":"\"","newline":"a\nb","backslash":"\\","slash":"\/","unicode":"\u00e9","emoji":"🦊","pair":"\ud83e\udd8a"}`,
		`{"separator":"` + "\u2028" + `","escaped":"\u2028","html":"<&>","del":"` + "\x7f" + `"}`,
		`{"deep":{"a":[1,[2,[3,{"b":null}]]]},"":"empty key","$x":true}`,
		` { "spaces" : [ 1 , 2 ] , "twice": 1, "twice": 2 } `,
		`[1,"an array"]`, `"a string"`, `12345678901234567890`, `null`,
		`{"lone":"\ud800"}`,
	}
)

// at is when everything begins in these tests.
var epoch = time.Date(2025, time.March, 3, 0, 0, 0, 0, time.UTC)

// An eventMaker makes events that differ and are the same in each test run.
type eventMaker struct {
	random *rand.Rand
	made   int
}

func newEventMaker(seed uint64) *eventMaker {
	return &eventMaker{random: rand.New(rand.NewPCG(seed, seed))}
}

// at makes an event that arrives at the time; one in ten happened days before.
func (m *eventMaker) at(inserted time.Time) event {
	m.made++
	happened := inserted.Add(-time.Duration(m.random.IntN(1000)) * time.Millisecond)
	if m.random.IntN(10) == 0 {
		happened = inserted.Add(-time.Duration(m.random.IntN(60*24)) * time.Hour)
	}
	e := event{
		UUID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d %d", m.random.Uint64(), m.made)), Team: 1,
		Name: pick(m, nastyNames), DistinctID: pick(m, nastyNames),
		Timestamp: happened.Truncate(time.Microsecond), InsertedAt: inserted.Truncate(time.Microsecond),
		Properties: pick(m, nastyProperties), Elements: pick(m, nastyNames),
	}
	e.CreatedAt = e.InsertedAt.Add(-time.Duration(m.random.IntN(5000)) * time.Microsecond)
	if m.random.IntN(2) == 0 {
		e.PersonProperties, e.PersonID = pick(m, nastyProperties), uuid.NewSHA1(uuid.NameSpaceOID, e.UUID[:]).String()
	}
	if e.PersonProperties == "null" {
		e.PersonProperties = "" // nobody can tell the two apart
	}
	return e
}

// within makes n events at random times of an interval, its first and last microsecond among them.
func (m *eventMaker) within(start time.Time, length time.Duration, n int) []event {
	events := make([]event, n)
	for i := range events {
		at := start.Add(time.Duration(m.random.Int64N(int64(length))))
		switch i {
		case 0:
			at = start
		case 1:
			at = start.Add(length - time.Microsecond)
		}
		events[i] = m.at(at)
	}
	return events
}

func pick[T any](m *eventMaker, from []T) T { return from[m.random.IntN(len(from))] }

// line is the event as a line of JSON, its JSON columns byte for byte.
func (e event) line(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"uuid":%q,"team_id":%d`, e.UUID, e.Team)
	text := func(key, value string) {
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		fmt.Fprintf(&b, `,%q:%s`, key, encoded)
	}
	text("event", e.Name)
	text("distinct_id", e.DistinctID)
	text("timestamp", e.Timestamp.Format(time.RFC3339Nano))
	text("inserted_at", e.InsertedAt.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano))
	text("created_at", e.CreatedAt.Format(time.RFC3339Nano))
	text("elements_chain", e.Elements)
	switch e.Properties[0] {
	case '"', 'n': // a string and null mean something else here: the JSON has to be in a string
		text("properties", e.Properties)
	default:
		fmt.Fprintf(&b, `,"properties":%s`, e.Properties)
	}
	if e.PersonProperties != "" {
		text("person_properties", e.PersonProperties)
	}
	if e.PersonID != "" {
		text("person_id", e.PersonID)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// writeJSONLines writes a file to be loaded; a name that ends in .gz is compressed.
func writeJSONLines(t *testing.T, name string, events []event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	var content bytes.Buffer
	for _, e := range events {
		content.Write(e.line(t))
	}
	text := content.Bytes()
	if filepath.Ext(name) == ".gz" {
		var compressed bytes.Buffer
		w := gzip.NewWriter(&compressed)
		_, err := w.Write(text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		text = compressed.Bytes()
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// writeCSV writes a file to be loaded, in which JSON may have lines.
func writeCSV(t *testing.T, name string, events []event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	w := csv.NewWriter(f)
	rows := [][]string{{"uuid", "event", "distinct_id", "timestamp", "inserted_at", "created_at", "properties", "elements_chain", "ignored"}}
	for _, e := range events {
		rows = append(rows, []string{
			e.UUID.String(), e.Name, e.DistinctID, e.Timestamp.Format(time.RFC3339Nano), e.InsertedAt.Format(time.RFC3339Nano),
			e.CreatedAt.Format(time.RFC3339Nano), e.Properties, e.Elements, "?",
		})
	}
	require.NoError(t, w.WriteAll(rows))
	return path
}
