package storage

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/auth"
	"tranche/sources"
)

// filled returns a T in which no field has its zero value, so that a mapping that forgets one is found.
func filled[T any](t *testing.T) T {
	t.Helper()
	var v T
	fill(t, reflect.ValueOf(&v).Elem())
	return v
}

// fill sets v to something that is not zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = time.Date(2026, 1, 1, 0, 0, rand.IntN(1_000_000)+1, 123_456_000, time.UTC)
		return
	case *uuid.UUID:
		*value = uuid.New()
		return
	case *map[string]any:
		*value = map[string]any{"host": "db", "port": 5432.5, "nested": map[string]any{"on": true}, "list": []any{"a"}}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString("text " + uuid.NewString())
	case reflect.Int, reflect.Int64:
		v.SetInt(rand.Int64N(1<<30) + 1)
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("fill does not know %s", v.Type())
	}
}

// requireFilled fails when a field of a row is zero: the mapping from the noun forgot it. Except lists fields that do
// not come from the noun.
func requireFilled(t *testing.T, row any, except ...string) {
	t.Helper()
	v := reflect.ValueOf(row)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() {
			require.Contains(t, except, name, "%s.%s is forgotten", v.Type(), name)
		}
	}
}

// requireRoundTrip maps a filled noun to a row and back.
func requireRoundTrip[N, R any](t *testing.T, rowOf func(N) (R, error), nounOf func(R) (N, error), except ...string) {
	t.Helper()
	noun := filled[N](t)
	row, err := rowOf(noun)
	require.NoError(t, err)
	requireFilled(t, row, except...)
	again, err := nounOf(row)
	require.NoError(t, err)
	require.Equal(t, noun, again)

	var empty N
	row, err = rowOf(empty)
	require.NoError(t, err)
	again, err = nounOf(row)
	require.NoError(t, err)
	require.Equal(t, empty, again)
}

// sure makes a mapping that cannot fail one that can.
func sure[A, B any](f func(A) B) func(A) (B, error) {
	return func(a A) (B, error) { return f(a), nil }
}

func TestMappingsForgetNothing(t *testing.T) {
	t.Parallel()
	t.Run("export", func(t *testing.T) {
		t.Parallel()
		key, err := NewMasterKey("k1")
		require.NoError(t, err)
		sealer, err := NewSealer(key)
		require.NoError(t, err)
		requireRoundTrip(t, sealer.exportRowOf, sealer.exportOf)
	})
	t.Run("run", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, sure(runRowOf), sure(runOf))
	})
	t.Run("backfill", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t,
			func(b batch.Backfill) (countedRow, error) { return countedRow{backfillRowOf(b), b.Runs}, nil },
			func(r countedRow) (batch.Backfill, error) { return backfillOf(r.Row, r.Runs), nil })
		requireFilled(t, backfillRowOf(filled[batch.Backfill](t)))
	})
	t.Run("span", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, sure(spanRowOf), sure(spanOf))
	})
	t.Run("delivery", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, deliveryRowOf, deliveryOf, "RecountedAt")
	})
	t.Run("log entry", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, sure(logRowOf), sure(logOf), "ID")
	})
	t.Run("ref", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, sure(refRowOf), sure(refOf), "NotBefore")
	})
	t.Run("split", func(t *testing.T) {
		t.Parallel()
		rowOf := func(s sources.Split) splitRow { return splitRowOf(uuid.New(), 1, s) }
		requireRoundTrip(t, sure(rowOf), sure(splitOf), "Attempt", "Receipt")
	})
	t.Run("key", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, keyRowOf, func(r keyRow) (auth.Key, error) {
			k, err := keyOf(r)
			if len(k.Scopes) == 0 {
				k.Scopes = nil
			}
			return k, err
		})
	})
	t.Run("project", func(t *testing.T) {
		t.Parallel()
		requireRoundTrip(t, sure(projectRowOf), sure(projectOf))
	})
}

// countedRow is a backfill's row beside what is counted.
type countedRow struct {
	Row  backfillRow
	Runs batch.Tally
}

func TestTextIsMadeStorable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "grün", clean("grün"))
	require.Equal(t, "ab\uFFFDc", clean("a\x00b\xffc"))
}
