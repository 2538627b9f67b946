package storage

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestMappingOfAuditEntriesForgetsNothing(t *testing.T) {
	t.Parallel()
	entry := batch.AuditEntry{
		ID: uuid.New(), TeamID: 1, OrganizationID: 2, ExportID: uuid.New(), SubjectID: uuid.New(), Action: batch.ActRunClosed,
		Actor: filled[batch.Actor](t), Note: "why", CreatedAt: filled[batch.Interval](t).End,
		Changes: []batch.FieldChange{{Field: "f", Before: json.RawMessage(`null`), After: json.RawMessage(`{"a":1}`)}},
	}
	row, err := auditRowOf(entry)
	require.NoError(t, err)
	requireFilled(t, row)
	again, err := auditOf(row)
	require.NoError(t, err)
	require.Equal(t, entry, again)
}

// TestAuditKnowsEveryFieldOfAnExport changes each field of an export: the audit log must tell of all that say what it is.
func TestAuditKnowsEveryFieldOfAnExport(t *testing.T) {
	t.Parallel()
	key, err := NewMasterKey("k1")
	require.NoError(t, err)
	sealer, err := NewSealer(key)
	require.NoError(t, err)
	db := &DB{sealer: sealer}
	fields, err := db.auditFields(filled[batch.Export](t))
	require.NoError(t, err)
	for _, name := range []string{
		"name", "model", "interval", "timezone", "offset_day", "offset_hour", "start_at", "end_at", "paused", "last_paused_at",
		"filters", "hogql_query", "hogql_modifiers", "primary_key", "version_key", "incremental_mode",
		"destination.type", "destination.integration", "destination.config.host", "destination.config.nested.on",
	} {
		require.Contains(t, fields, name)
	}
	for _, name := range []string{"i_d", "id", "revision", "frequency"} {
		require.NotContains(t, fields, name)
	}
	require.Equal(t, 6, reflect.TypeFor[batch.Selection]().NumField(), "each has its name above")
	require.Equal(t, "primary_key", snake("PrimaryKey"))
	require.Equal(t, "start_at", snake("StartAt"))
}

func TestLongValuesAreNotKeptWhole(t *testing.T) {
	t.Parallel()
	long := make([]int, maxAudited)
	value, err := auditValue(long)
	require.NoError(t, err)
	require.Less(t, len(value), 200)
	long[7] = 1
	other, err := auditValue(long)
	require.NoError(t, err)
	require.NotEqual(t, value, other, "that it changed is told")
}
