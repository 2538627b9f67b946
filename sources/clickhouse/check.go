package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"tranche/batch"
	"tranche/query"
)

// Check compares models with the tables of the database, and says all that is wrong with each.
func (s *Source) Check(ctx context.Context, models query.Catalog) error {
	var problems []error
	for _, m := range models {
		if err := s.check(ctx, m); err != nil {
			if batch.CodeOf(err).Retryable() {
				return err
			}
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (s *Source) check(ctx context.Context, m query.Model) error {
	types, err := s.client.describe(ctx, m.Table)
	table := strings.Join(m.Table, ".")
	if batch.CodeOf(err) == batch.CodeNotFound && err != nil {
		return batch.Errorf(batch.CodeNotFound, err, "the ClickHouse source has no table %s, which the model %s is in", table, m.Name)
	}
	if err != nil {
		return err
	}
	var problems []error
	for _, f := range m.Fields {
		if f.Column == "" {
			continue
		}
		kind, ok := types[f.Column]
		if !ok {
			problems = append(problems, batch.Errorf(batch.CodeConfig, nil,
				"the table %s of the ClickHouse source has no column %q, which the model %s has for %s; it has %s",
				table, f.Column, m.Name, f.Name, query.Listed(types)))
		} else if !canBe(f.Type, kind) {
			problems = append(problems, batch.Errorf(batch.CodeSchema, nil,
				"the column %q of the table %s of the ClickHouse source has the type %s, and the field %s of the model %s is a %s",
				f.Column, table, kind, f.Name, m.Name, f.Type))
		}
	}
	return errors.Join(problems...)
}

// describe returns the columns of a table with their types.
func (c *client) describe(ctx context.Context, table []string) (map[string]string, error) {
	response, q, err := c.run(ctx, statement{text: "DESCRIBE TABLE " + quoted(table) + " FORMAT JSONEachRow"}, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(io.LimitReader(response.Body, maxAnswerBytes))
	types := map[string]string{}
	for {
		var column struct{ Name, Type string }
		err := decoder.Decode(&column)
		if errors.Is(err, io.EOF) {
			return types, nil
		}
		if err != nil {
			c.kill(ctx, q)
			return nil, broken(ctx, err)
		}
		types[column.Name] = column.Type
	}
}

func quoted(table []string) string {
	parts := make([]string, len(table))
	for i, part := range table {
		parts[i] = "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(part) + "`"
	}
	return strings.Join(parts, ".")
}

// beginnings are how the types of columns begin that a field may have; text may come from any but lists.
var beginnings = map[query.Type][]string{
	query.TypeInteger: {"Int", "UInt", "Decimal", "Bool", "Enum"},
	query.TypeFloat:   {"Float", "BFloat", "Int", "UInt", "Decimal"},
	query.TypeBoolean: {"Bool", "UInt8", "Int8"},
	query.TypeInstant: {"DateTime", "Date"},
	query.TypeDate:    {"Date"},
	query.TypeJSON:    {"String", "FixedString", "JSON", "Object", "Map", "Tuple", "Array", "Nested", "Variant", "Dynamic"},
	query.TypeStrings: {"Array(String)", "Array(LowCardinality(String))", "Array(Nullable(String))", "Array(LowCardinality(Nullable(String)))"},
}

// canBe says whether a column of the type can be read as a field of the kind.
func canBe(kind query.Type, column string) bool {
	allowed := beginnings[kind]
	if allowed == nil {
		return !strings.HasPrefix(column, "Array(")
	}
	for _, wrapper := range []string{"LowCardinality(", "Nullable("} {
		if rest, ok := strings.CutPrefix(column, wrapper); ok {
			column = strings.TrimSuffix(rest, ")")
		}
	}
	return slices.ContainsFunc(allowed, func(beginning string) bool { return strings.HasPrefix(column, beginning) })
}
