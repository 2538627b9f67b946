package postgres

import (
	"context"
	"slices"
	"strings"

	"tranche/batch"
)

// merge inserts rows of new keys, and replaces those whose staged row is newer. Of several of one key the newest counts. Of a
// query's rows all splits are merged as one: which of two is taken must not depend on how the interval was cut.
func (c *commit) merge(ctx context.Context, s *session) error {
	for _, t := range c.tables {
		var rows int64
		name := quote(t.Schema) + "." + quote(t.Name)
		err := c.watch(ctx, s, func(ctx context.Context) error {
			return s.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&rows)
		})
		if err != nil {
			return err
		}
		if rows != t.rows {
			return batch.Errorf(batch.CodeVerification, nil, "%d rows were staged, but the server has %d", t.rows, rows)
		}
		if c.model.Merge {
			continue
		}
		if _, err := c.move(ctx, s, c.mergeSQL(t)); err != nil {
			return err
		}
	}
	if !c.model.Merge || len(c.tables) == 0 {
		return nil
	}
	_, err := c.move(ctx, s, c.mergeSQL(c.tables...))
	return err
}

// mergeSQL merges tables that have the same columns.
func (c *commit) mergeSQL(tables ...stagedRows) string {
	t := tables[0]
	list, key := quoteAll(t.Columns), quoteAll(c.model.Key)
	var sets, newer, order []string
	for _, name := range t.Columns {
		if !slices.Contains(c.model.Key, name) {
			sets = append(sets, quote(name)+" = excluded."+quote(name))
		}
	}
	var versions []string
	for _, name := range c.model.Versions {
		if slices.Contains(t.Columns, name) {
			versions = append(versions, name)
			newer = append(newer, "excluded."+quote(name)+" > old."+quote(name)+" OR old."+quote(name)+" IS NULL")
			order = append(order, quote(name)+" DESC NULLS LAST")
		}
	}
	if c.model.Merge && len(versions) > 0 {
		newer = []string{"NOT (" + older(versions) + ")"}
	}
	if c.model.Merge {
		// Nothing says which of rows of one key and version is newer: it is always the same one.
		order = append(order, "md5(staged::text) DESC")
	}
	sources := make([]string, len(tables))
	for i, t := range tables {
		sources[i] = "SELECT " + list + " FROM " + quote(t.Schema) + "." + quote(t.Name)
	}
	sql := "INSERT INTO " + c.table() + " AS old (" + list + ") SELECT DISTINCT ON (" + key + ") " + list +
		" FROM (" + strings.Join(sources, " UNION ALL ") + ") staged ORDER BY " + strings.Join(append([]string{key}, order...), ", ") +
		" ON CONFLICT (" + key + ") DO "
	if len(sets) == 0 {
		return sql + "NOTHING"
	}
	sql += "UPDATE SET " + strings.Join(sets, ", ")
	if len(newer) > 0 {
		sql += " WHERE " + strings.Join(newer, " OR ")
	}
	return sql
}

// older is the condition that the staged row is older than the one of its key in the table, by the first version in which
// they differ. A version that is null is older than any other.
func older(versions []string) string {
	name := quote(versions[0])
	condition := "old." + name + " IS NOT NULL AND (excluded." + name + " IS NULL OR excluded." + name + " < old." + name + ")"
	if len(versions) == 1 {
		return condition
	}
	return condition + " OR excluded." + name + " IS NOT DISTINCT FROM old." + name + " AND (" + older(versions[1:]) + ")"
}
