package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tranche/batch"
	"tranche/dev/duckdb/engine"
	"tranche/query"
)

// LoadModel adds the rows of files to a model: all of them, or none when there is an error, which is a *LoadError if a file
// is to blame. Events are loaded as Load does.
//
// A row must have what the model requires. Where it lacks the ingestion time it gets the time of the load, and 1 for the
// tenant. A row is skipped when one of its key and version is there already, or one of its key when the model has no version;
// without a key every row is added.
func (s *Store) LoadModel(ctx context.Context, name batch.Model, files ...string) (Loaded, error) {
	if name == batch.ModelEvents {
		return s.Load(ctx, files...)
	}
	m, ok := s.models.Model(name)
	if !ok {
		return Loaded{}, fmt.Errorf("there is no model %q to load: there are %s", name, strings.Join(s.models.Names(), ", "))
	}
	r := rowsOf(m)
	return s.load(ctx, r.create(), r.publish(), func(c *engine.Conn) (int64, error) {
		now := []byte(time.Now().UTC().Format(time.RFC3339Nano))
		return s.stageRows(ctx, c, files, r.layout, r.types(), func(a *engine.Appender, seq int64, row cells) error {
			return r.add(a, seq, row, now)
		})
	})
}

// modelRows is how rows of a model get into the store: as texts of a form that DuckDB casts to the columns' types.
type modelRows struct {
	model  query.Model
	layout layout
}

func rowsOf(m query.Model) modelRows {
	r := modelRows{model: m}
	for _, f := range m.Fields {
		if f.Column == "" {
			continue
		}
		given := f.Name == m.Tenant || f.Name == m.Ingested
		needed := !given && (f.Required || f.Instead == nil)
		r.layout = append(r.layout, layoutColumn{name: f.Name, kind: f.Type, required: needed})
	}
	return r
}

func (r modelRows) types() []engine.Type {
	types := []engine.Type{engine.BigInt}
	for range r.layout {
		types = append(types, engine.Varchar)
	}
	return types
}

func (r modelRows) create() string {
	columns := []string{"seq BIGINT"}
	for _, c := range r.layout {
		columns = append(columns, quoted(c.name)+" VARCHAR")
	}
	return "CREATE TEMP TABLE " + staging + " (" + strings.Join(columns, ", ") + ")"
}

// publish adds the first row of each key and version that is not there yet: one statement, hence one transaction.
func (r modelRows) publish() string {
	var list, values []string
	for _, c := range r.layout {
		value := "CAST(" + quoted(c.name) + " AS " + columnTypes[c.kind] + ")"
		if c.kind == query.TypeStrings {
			value = "from_json(" + quoted(c.name) + `, '["VARCHAR"]')`
		}
		list, values = append(list, quoted(c.name)), append(values, value+" AS "+quoted(c.name))
	}
	table := quoted(query.Field(r.model.Table[0]))
	typed := "SELECT seq, " + strings.Join(values, ", ") + " FROM " + staging
	insert := "INSERT INTO " + table + " (" + strings.Join(list, ", ") + ") "
	if len(r.model.Key) == 0 {
		return insert + "SELECT " + strings.Join(list, ", ") + " FROM (" + typed + ") s ORDER BY seq"
	}
	var identity, same []string
	for _, f := range append(append([]query.Field{}, r.model.Key...), r.model.Version...) {
		identity = append(identity, quoted(f))
		same = append(same, "t."+quoted(f)+" IS NOT DISTINCT FROM s."+quoted(f))
	}
	return insert + "SELECT " + strings.Join(list, ", ") + " FROM (" + typed + " QUALIFY row_number() OVER (PARTITION BY " +
		strings.Join(identity, ", ") + " ORDER BY seq) = 1) s WHERE NOT EXISTS (SELECT 1 FROM " + table + " t WHERE " +
		strings.Join(same, " AND ") + ") ORDER BY seq"
}

func quoted(name query.Field) string { return `"` + strings.ReplaceAll(string(name), `"`, `""`) + `"` }

// add checks a row and puts it into the staging table.
func (r modelRows) add(a *engine.Appender, seq int64, row cells, now []byte) error {
	if err := row.check(r.layout); err != nil {
		return err
	}
	a.Int64(0, seq)
	for i, c := range r.layout {
		found := row[i]
		switch {
		case found.set:
		case c.name == r.model.Ingested:
			found = cell{text: now, set: true}
		case c.name == r.model.Tenant:
			found = cell{text: []byte(strconv.Itoa(defaultTeam)), set: true}
		default:
			a.Null(i + 1)
			continue
		}
		text, err := canonical(c, string(found.text))
		if err != nil {
			return err
		}
		a.Text(i+1, []byte(text))
	}
	return nil
}

// canonical is a text in the form that DuckDB reads, or why it is none of the column's type.
func canonical(c layoutColumn, text string) (string, error) {
	var err error
	switch c.kind {
	case query.TypeInteger:
		_, err = strconv.ParseInt(text, 10, 64)
	case query.TypeFloat:
		_, err = strconv.ParseFloat(text, 64)
	case query.TypeBoolean:
		var is bool
		is, err = strconv.ParseBool(text)
		text = strconv.FormatBool(is)
	case query.TypeInstant:
		var at time.Time
		at, err = parseTime(text)
		text = at.UTC().Format("2006-01-02 15:04:05.999999")
	case query.TypeDate:
		_, err = time.Parse(time.DateOnly, text)
	case query.TypeJSON:
		if !json.Valid([]byte(text)) {
			err = strconv.ErrSyntax
		}
	case query.TypeStrings:
		var list []*string
		err = json.Unmarshal([]byte(text), &list)
	default:
	}
	if err != nil {
		return "", fmt.Errorf("%s is not of type %s", c.name, c.kind)
	}
	return text, nil
}
