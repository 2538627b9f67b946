package duckdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tranche/dev/duckdb/engine"
	"tranche/query"
)

// The columns of a file that are read; others are ignored.
const (
	cellUUID = iota
	cellTeamID
	cellEvent
	cellDistinctID
	cellTimestamp
	cellInsertedAt
	cellCreatedAt
	cellProperties
	cellPersonProperties
	cellPersonID
	cellElementsChain
)

// eventLayout is that of files with events, in the order of the cells.
var eventLayout = layout{
	{query.FieldUUID, query.TypeString, true},
	{query.FieldTeamID, query.TypeInteger, false},
	{query.FieldEvent, query.TypeString, true},
	{query.FieldDistinctID, query.TypeString, true},
	{query.FieldTimestamp, query.TypeInstant, true},
	{query.FieldInsertedAt, query.TypeInstant, false},
	{query.FieldCreatedAt, query.TypeInstant, false},
	{query.FieldProperties, query.TypeJSON, false},
	{query.FieldPersonProperties, query.TypeJSON, false},
	{query.FieldPersonID, query.TypeString, false},
	{query.FieldElementsChain, query.TypeString, false},
}

const defaultTeam = 1

// emptyProperties is what an event without properties has.
var emptyProperties = []byte("{}")

// event is a row of the events table. Its texts are those of the cells.
type event struct {
	uuid                             uuid.UUID
	teamID                           int64
	timestamp, insertedAt, createdAt int64 // microseconds
	name, distinctID, elementsChain  []byte
	properties                       []byte
	personProperties, personID       cell
}

// event checks the cells and fills in what is absent.
func (c cells) event(now time.Time) (event, error) {
	if err := c.check(eventLayout); err != nil {
		return event{}, err
	}
	e := event{
		teamID:           defaultTeam,
		insertedAt:       now.UnixMicro(),
		name:             c[cellEvent].text,
		distinctID:       c[cellDistinctID].text,
		elementsChain:    c[cellElementsChain].text,
		properties:       emptyProperties,
		personProperties: c[cellPersonProperties],
		personID:         c[cellPersonID],
	}
	if c[cellProperties].set {
		e.properties = c[cellProperties].text
	}
	for _, parse := range [...]func(cells) error{e.parseIDs, e.parseTimes, e.checkJSON} {
		if err := parse(c); err != nil {
			return event{}, err
		}
	}
	return e, nil
}

func (e *event) parseIDs(c cells) error {
	var err error
	if text := c[cellUUID].text; len(text) != len(uuid.Nil.String()) {
		err = errors.New("uuid is not a UUID")
	} else if e.uuid, err = uuid.ParseBytes(text); err != nil {
		err = errors.New("uuid is not a UUID")
	}
	if err != nil || !c[cellTeamID].set {
		return err
	}
	if e.teamID, err = strconv.ParseInt(string(c[cellTeamID].text), 10, 64); err != nil {
		return errors.New("team_id is not an integer")
	}
	return nil
}

func (e *event) parseTimes(c cells) error {
	for _, t := range []struct {
		cell int
		to   *int64
	}{{cellTimestamp, &e.timestamp}, {cellInsertedAt, &e.insertedAt}, {cellCreatedAt, &e.createdAt}} {
		if !c[t.cell].set {
			continue
		}
		at, err := parseTime(string(c[t.cell].text))
		if err != nil {
			return fmt.Errorf("%s is not a timestamp", eventLayout[t.cell].name)
		}
		*t.to = at.UnixMicro()
	}
	if !c[cellCreatedAt].set {
		e.createdAt = e.insertedAt
	}
	return nil
}

func (e *event) checkJSON(c cells) error {
	for _, i := range [...]int{cellProperties, cellPersonProperties} {
		if c[i].set && !json.Valid(c[i].text) {
			return fmt.Errorf("%s is not valid JSON", eventLayout[i].name)
		}
	}
	return nil
}

// append sets the columns of the staging table, in its order.
func (e *event) append(a *engine.Appender, seq int64) {
	a.Int64(0, seq)
	a.UUID(1, e.uuid)
	a.Int64(2, e.teamID)
	a.Text(3, e.name)
	a.Text(4, e.distinctID)
	a.Int64(5, e.timestamp)
	a.Int64(6, e.insertedAt)
	a.Int64(7, e.createdAt)
	a.Text(8, e.properties)
	for i, optional := range []cell{e.personProperties, e.personID} {
		if optional.set {
			a.Text(9+i, optional.text)
		} else {
			a.Null(9 + i)
		}
	}
	a.Text(11, e.elementsChain)
}

// timeLayouts are those besides RFC 3339. A fraction may follow the seconds of each; without a zone it is UTC.
var timeLayouts = [...]string{
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05Z07",
}

// parseTime reads RFC 3339, with a space for the T and without a zone as databases write it.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	for i := 0; err != nil && i < len(timeLayouts); i++ {
		t, err = time.Parse(timeLayouts[i], text)
	}
	return t, err
}
