package sourcetest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/query"
)

// The data are of two teams. The seeds of one know nothing of the other.
const (
	team      = 7
	otherTeam = 8
)

// start is when the interval of most tests starts.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hour is the interval of most tests.
var hour = batch.Interval{Start: start, End: start.Add(time.Hour)}

// allColumns are all fields of events under their own names.
func allColumns() []query.Column {
	fields := []query.Field{
		query.FieldUUID, query.FieldTeamID, query.FieldEvent, query.FieldDistinctID, query.FieldTimestamp,
		query.FieldInsertedAt, query.FieldCreatedAt, query.FieldProperties, query.FieldPersonProperties,
		query.FieldPersonID, query.FieldElementsChain,
	}
	columns := make([]query.Column, len(fields))
	for i, f := range fields {
		columns[i] = query.Column{Name: string(f), Field: f}
	}
	return columns
}

// events asks for all columns of the team's events.
func events(interval batch.Interval) query.Query {
	return query.Query{TeamID: team, Model: batch.ModelEvents, Interval: interval, Columns: allColumns()}
}

// row is a plain event of the team. Rows of different numbers have different uuids.
func row(number int, insertedAt time.Time) Row {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(number)*0x9e3779b97f4a7c15) // spread, so that no source gets them sorted
	binary.BigEndian.PutUint64(id[8:], uint64(number))
	return Row{
		UUID:       uuid.UUID(id).String(),
		TeamID:     team,
		Event:      "$pageview",
		DistinctID: fmt.Sprintf("user-%d", number%10),
		Timestamp:  insertedAt.Add(-time.Minute),
		InsertedAt: insertedAt,
		CreatedAt:  insertedAt,
		Properties: fmt.Sprintf(`{"n":%d}`, number),
	}
}

// rows are n events that are spread evenly over the interval.
func rows(n int, interval batch.Interval) []Row {
	all := make([]Row, n)
	step := interval.Duration() / time.Duration(n)
	for i := range all {
		all[i] = row(i, interval.Start.Add(time.Duration(i)*step).Truncate(time.Microsecond))
	}
	return all
}

// nastyTexts are strings that careless code damages.
var nastyTexts = []string{
	"", " ", "it's", `"quoted"`, `back\slash`, "tab\tnewline\nreturn\r\n", `\N`, "NULL", "null", "$1 ? :name {x:String}",
	"'; DROP TABLE events; --", "Zoë — 日本語 — 🏳️‍🌈", "e\u0301 is not é", "\u202eright to left", "\x01\x1f\x7f", "\ufeffmark", "\ufffd",
	"a,b;c|d", "%s %d %%", strings.Repeat("long ", 20_000),
}

// nastyJSON are values that lose something when they are parsed and written again by careless code.
var nastyJSON = []string{
	`{}`,
	`{"a":{"b":{"c":[[],{},null,true,false]}}}`,
	`{"big":123456789012345678901234567890,"exact":0.1,"small":-0.000001}`,
	`{"html":"<b>&amp;</b>","line":"\u2028","slash":"\/","quote":"\"","emoji":"\ud83d\ude00"}`,
	`{"":"empty key","$set":{"email":"a@b.c"},"with.dot":1,"with space":2}`,
	`{"text":"` + strings.Repeat("x", 100_000) + `"}`,
}

// nastyRows have every nasty text and JSON in every column that can hold it, and instants at the edges.
func nastyRows(oldest time.Time) []Row {
	if oldest.IsZero() {
		oldest = time.Date(1583, 1, 1, 0, 0, 0, 1000, time.UTC)
	}
	instants := []time.Time{
		start, start.Add(time.Microsecond), start.Add(999_999 * time.Microsecond), hour.End.Add(-time.Microsecond),
	}
	times := []time.Time{
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		oldest, time.Date(2299, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
	}
	n := max(len(nastyTexts), len(nastyJSON))
	all := make([]Row, n)
	for i := range all {
		r := row(i, instants[i%len(instants)])
		r.Event, r.DistinctID = nastyTexts[i%len(nastyTexts)], nastyTexts[(i+1)%len(nastyTexts)]
		r.ElementsChain = nastyTexts[(i+2)%len(nastyTexts)]
		r.Properties = nastyJSON[i%len(nastyJSON)]
		if i%3 != 0 {
			r.PersonProperties = nastyJSON[(i+1)%len(nastyJSON)]
			r.PersonID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(r.UUID)).String()
		}
		r.Timestamp, r.CreatedAt = times[i%len(times)], times[(i+1)%len(times)]
		all[i] = r
	}
	return all
}
