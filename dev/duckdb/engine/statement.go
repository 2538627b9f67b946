package engine

import (
	"context"
	"fmt"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// Exec runs a statement and returns the number of rows that it changed. Values are bound to the question marks: int64,
// float64, bool, string and time.Time, which becomes a TIMESTAMP of microseconds in UTC.
func (c *Conn) Exec(ctx context.Context, sql string, values ...any) (int64, error) {
	statement, err := c.prepare(sql, values)
	if err != nil {
		return 0, err
	}
	defer bindings.DestroyPrepare(&statement)
	var result bindings.Result
	defer bindings.DestroyResult(&result)
	err = c.guard(ctx, func() error {
		if bindings.ExecutePrepared(statement, &result) == bindings.StateError {
			return resultError(&result)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return int64(bindings.RowsChanged(&result)), nil
}

// Query runs a statement and returns its rows as they come. The caller closes them before the next statement.
func (c *Conn) Query(ctx context.Context, sql string, values ...any) (*Rows, error) {
	statement, err := c.prepare(sql, values)
	if err != nil {
		return nil, err
	}
	r := &Rows{conn: c, statement: statement}
	err = c.guard(ctx, func() error {
		if bindings.ExecutePreparedStreaming(statement, &r.result) == bindings.StateError {
			return resultError(&r.result)
		}
		return nil
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (c *Conn) prepare(sql string, values []any) (bindings.PreparedStatement, error) {
	var statement bindings.PreparedStatement
	if bindings.Prepare(c.native, sql, &statement) == bindings.StateError {
		defer bindings.DestroyPrepare(&statement)
		return statement, &Error{Message: bindings.PrepareError(statement)}
	}
	for i, value := range values {
		if err := bind(statement, bindings.IdxT(i+1), value); err != nil {
			bindings.DestroyPrepare(&statement)
			return statement, fmt.Errorf("bind value %d: %w", i+1, err)
		}
	}
	return statement, nil
}

func bind(statement bindings.PreparedStatement, index bindings.IdxT, value any) error {
	var state bindings.State
	switch v := value.(type) {
	case int64:
		state = bindings.BindInt64(statement, index, v)
	case float64:
		state = bindings.BindDouble(statement, index, v)
	case bool:
		state = bindings.BindBoolean(statement, index, v)
	case string:
		state = bindings.BindVarcharLength(statement, index, v, bindings.IdxT(len(v)))
	case time.Time:
		state = bindings.BindTimestamp(statement, index, bindings.NewTimestamp(v.UnixMicro()))
	default:
		return fmt.Errorf("values of type %T cannot be bound", value)
	}
	if state == bindings.StateError {
		return &Error{Message: bindings.PrepareError(statement)}
	}
	return nil
}

func resultError(result *bindings.Result) error {
	return &Error{Message: bindings.ResultError(result)}
}
