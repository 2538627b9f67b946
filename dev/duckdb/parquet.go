package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tranche/dev/duckdb/engine"
)

// readParquet reads exactly one file, whose path is bound, with its own columns only.
const readParquet = "read_parquet(?, binary_as_string = true, hive_partitioning = false)"

// literalPath keeps DuckDB from taking a path for a pattern.
func literalPath(path string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path)
}

// parseParquet has DuckDB read the file: all columns become text.
func (s *Store) parseParquet(ctx context.Context, path string, l layout, emit func(int64, cells) error) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	columns, list, err := parquetColumns(ctx, c, path, l)
	if err != nil {
		return parquetError(path, 0, err)
	}
	rows, err := c.Query(ctx, "SELECT "+list+" FROM "+readParquet, literalPath(path))
	if err != nil {
		return parquetError(path, 0, err)
	}
	defer rows.Close()
	found, row := make(cells, len(l)), int64(1)
	for {
		chunk, err := rows.Next(ctx)
		if err != nil {
			return parquetError(path, row, err)
		}
		if chunk == nil {
			return nil
		}
		err = emitChunk(chunk, columns, found, row, emit)
		row += int64(chunk.Rows)
		chunk.Close()
		if err != nil {
			return err
		}
	}
}

// emitChunk gives out rows whose cells are valid as long as the chunk.
func emitChunk(chunk *engine.Chunk, columns []int, found cells, first int64, emit func(int64, cells) error) error {
	for row := range chunk.Rows {
		clear(found)
		for i, column := range columns {
			if values := chunk.Column(i); !values.Null(row) {
				found[column] = cell{text: values.Text(row), set: true}
			}
		}
		if err := emit(first+int64(row), found); err != nil {
			return err
		}
	}
	return nil
}

// parquetColumns describes the file: which cells its columns are, and the SELECT list that turns them into text. Only
// names of ours get into the list.
func parquetColumns(ctx context.Context, c *engine.Conn, path string, l layout) (columns []int, list string, err error) {
	rows, err := c.Query(ctx,
		"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+readParquet+")", literalPath(path))
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	var expressions []string
	seen := make([]bool, len(l))
	for {
		chunk, err := rows.Next(ctx)
		if err != nil {
			return nil, "", err
		}
		if chunk == nil {
			break
		}
		for row := range chunk.Rows {
			if column, ok := l.find(string(chunk.Column(0).Text(row))); ok {
				columns, seen[column] = append(columns, column), true
				expressions = append(expressions, parquetText(l[column], string(chunk.Column(1).Text(row))))
			}
		}
		chunk.Close()
	}
	if name, ok := l.missing(seen); ok {
		return nil, "", fmt.Errorf("it lacks the column %s", name)
	}
	return columns, strings.Join(expressions, ", "), nil
}

// parquetText is the expression that turns a column into the text that a cell has.
func parquetText(column layoutColumn, kind string) string {
	name := `"` + string(column.name) + `"`
	nested := strings.HasPrefix(kind, "STRUCT") || strings.HasPrefix(kind, "MAP") || strings.HasSuffix(kind, "]")
	switch {
	case strings.HasPrefix(kind, "TIMESTAMP"):
		// As UTC without a zone, whatever the unit and the zone. Infinity has no microseconds.
		return "CASE WHEN " + name + " IS NOT NULL THEN " +
			"coalesce(TRY(CAST(make_timestamp(epoch_us(" + name + ")) AS VARCHAR)), 'out of range') END"
	case nested:
		return "CAST(to_json(" + name + ") AS VARCHAR)"
	}
	return "CAST(" + name + " AS VARCHAR)"
}

// parquetError puts the file's name to what DuckDB says of it. The ends of contexts stay as they are.
func parquetError(path string, row int64, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if failure, ok := errors.AsType[*engine.Error](err); ok {
		reason, _, _ := strings.Cut(failure.Message, "\n") // then comes our SQL
		err = fmt.Errorf("it cannot be read as Parquet: %s", reason)
	}
	return &LoadError{File: path, Row: row, Err: err}
}
