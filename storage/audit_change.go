package storage

import (
	"bytes"
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"tranche/batch"
	"tranche/destinations"
)

const (
	// maxAudited is how many bytes of a field's value an entry keeps.
	maxAudited = 4096
	// fingerprintBytes is how much is kept of the code of a secret: enough to tell two apart, and nothing to go by.
	fingerprintBytes = 8
)

// WithPlugins returns the same database that knows which settings of destinations are secrets. Without it the audit log
// takes all of them for secrets.
func (db *DB) WithPlugins(plugins *destinations.Registry) *DB {
	other := *db
	other.plugins = plugins
	return &other
}

// auditFields are an export's fields that say what it is, and no more, by their names in the API. What a later release adds
// to batch.Export is in it without anybody's doing.
func (db *DB) auditFields(e batch.Export) (map[string]any, error) {
	fields := map[string]any{}
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if slices.Contains(unaudited, name) {
			continue
		}
		fields[cmp.Or(auditNames[name], snake(name))] = v.Field(i).Interface()
	}
	s := e.Selection
	fields["filters"], fields["hogql_query"], fields["hogql_modifiers"] = s.Filters, s.Query, s.Modifiers
	fields["primary_key"], fields["version_key"], fields["incremental_mode"] = s.PrimaryKey, s.VersionKey, s.Mode
	fields["destination.type"], fields["destination.integration"] = e.Destination.Type, e.Destination.Integration
	config, ok := revealed(e.Destination.Config).(map[string]any)
	if !ok {
		return fields, nil
	}
	var shown map[string]any // nothing of a destination that nobody knows
	if db.plugins != nil {
		if plugin, known := db.plugins.Plugin(e.Destination.Type); known {
			shown = plugin.Redact(config)
		}
	}
	return fields, db.auditSettings(fields, "destination.config.", e.TeamID, config, shown)
}

// auditSettings adds settings to fields. What shown lacks is a secret.
func (db *DB) auditSettings(fields map[string]any, prefix string, teamID int64, config, shown map[string]any) error {
	for name, value := range config {
		open, isShown := shown[name]
		inner, isMap := value.(map[string]any)
		innerShown, _ := open.(map[string]any)
		switch {
		case isMap:
			if err := db.auditSettings(fields, prefix+name+".", teamID, inner, innerShown); err != nil {
				return err
			}
		case isShown:
			fields[prefix+name] = open
		default:
			text, err := db.fingerprint(teamID, value)
			if err != nil {
				return err
			}
			fields[prefix+name] = text
		}
	}
	return nil
}

// unaudited are the fields of an export that say nothing about its definition, or that are told in another way.
var unaudited = []string{
	"ID", "TeamID", "Selection", "Destination", "Revision", "ScheduledRevision", "CreatedAt", "LastUpdatedAt", "LastModifiedBy", "FirstInterval",
}

// auditNames are the names of fields that are not called the same in the API.
var auditNames = map[string]string{"Frequency": "interval"}

// snake is a Go name as the API writes it: StartAt is start_at.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// fingerprint tells secrets apart without giving them away: a keyed code, so that nobody can try what they guess. It is
// the same for the same secret of a team under the same master key. No secret has none.
func (db *DB) fingerprint(teamID int64, secret any) (any, error) {
	if secret == nil || secret == "" {
		return secret, nil
	}
	text, err := json.Marshal(secret)
	if err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	master := db.sealer.newest()
	key, err := hkdf.Key(sha256.New, master.key[:], nil, "tranche/audit-fingerprint/1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(teamID)))
	mac.Write(text)
	return "fingerprint:" + master.id + ":" + hex.EncodeToString(mac.Sum(nil)[:fingerprintBytes]), nil
}

// changesOf compares fields. Those that are only on one side, or differ, are told, in the order of their names.
func changesOf(before, after map[string]any) ([]batch.FieldChange, error) {
	names := map[string]bool{}
	for _, fields := range []map[string]any{before, after} {
		for name := range fields {
			names[name] = true
		}
	}
	var changes []batch.FieldChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, err := auditValue(before[name])
		if err != nil {
			return nil, err
		}
		is, err := auditValue(after[name])
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(was, is) {
			changes = append(changes, batch.FieldChange{Field: name, Before: was, After: is})
		}
	}
	return changes, nil
}

// auditValue is a value as an entry keeps it. Of a long one only its size and its hash, which still tell that it changed.
func auditValue(value any) (json.RawMessage, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode a change: %w", err)
	}
	if len(text) <= maxAudited {
		return text, nil
	}
	sum := sha256.Sum256(text)
	return json.Marshal(map[string]any{"too_long": len(text), "sha256": hex.EncodeToString(sum[:])})
}

// auditExport compares an export before and after a change. Of a new one, before is nil.
func (db *DB) auditExport(before *batch.Export, after batch.Export) (batch.AuditEntry, error) {
	entry := batch.AuditEntry{TeamID: after.TeamID, ExportID: after.ID, Action: batch.ActExportCreated}
	was := map[string]any{}
	if before != nil {
		var err error
		if was, err = db.auditFields(*before); err != nil {
			return entry, err
		}
	}
	is, err := db.auditFields(after)
	if err != nil {
		return entry, err
	}
	if entry.Changes, err = changesOf(was, is); err != nil {
		return entry, err
	}
	if before == nil {
		// What is not set says nothing of a new export.
		entry.Changes = slices.DeleteFunc(entry.Changes, func(c batch.FieldChange) bool { return slices.Contains(unset, string(c.After)) })
		return entry, nil
	}
	entry.Action = exportAction(*before, after, entry.Changes)
	return entry, nil
}

// unset are values that are as good as none.
var unset = []string{`null`, `""`, `false`}

// exportAction names a change of an export by what it does.
func exportAction(before, after batch.Export, changes []batch.FieldChange) batch.Action {
	onlyPause := !slices.ContainsFunc(changes, func(c batch.FieldChange) bool { return c.Field != "paused" && c.Field != "last_paused_at" })
	switch {
	case after.Deleted && !before.Deleted:
		return batch.ActExportDeleted
	case onlyPause && after.Paused && !before.Paused:
		return batch.ActExportPaused
	case onlyPause && before.Paused && !after.Paused:
		return batch.ActExportUnpaused
	}
	return batch.ActExportUpdated
}

// auditRun says what of a run's change belongs into the audit log; false = nothing. That it ends well or fails is told by
// the run itself.
func auditRun(act batch.Act, before, after batch.Run) (batch.AuditEntry, bool) {
	entry := batch.AuditEntry{TeamID: after.TeamID, ExportID: after.ExportID, SubjectID: after.ID, Action: batch.ActRunCancelled}
	if before.Status == after.Status {
		return entry, false
	}
	if after.Status != batch.RunCancelled && act.Action.Subject() != entry.Action.Subject() {
		return entry, false
	}
	entry.Changes = []batch.FieldChange{fieldChange("status", before.Status, after.Status)}
	return entry, true
}

// auditBackfill is auditRun for backfills.
func auditBackfill(act batch.Act, before, after batch.Backfill) (batch.AuditEntry, bool) {
	entry := batch.AuditEntry{TeamID: after.TeamID, ExportID: after.ExportID, SubjectID: after.ID}
	switch {
	case before.Status != after.Status && after.Status == batch.BackfillCancelled:
		entry.Action = batch.ActBackfillCancelled
	case before.Status != after.Status && act.Action.Subject() == batch.ActBackfillClosed.Subject():
		entry.Action = batch.ActBackfillClosed
	case before.PausedAt == nil && after.PausedAt != nil:
		entry.Action = batch.ActBackfillPaused
	case before.PausedAt != nil && after.PausedAt == nil:
		entry.Action = batch.ActBackfillResumed
	default:
		return entry, false
	}
	if before.Status != after.Status {
		entry.Changes = []batch.FieldChange{fieldChange("status", before.Status, after.Status)}
	}
	return entry, true
}

// auditNewBackfill tells of a backfill that is asked for; that of a retry is told as what it is for.
func auditNewBackfill(b batch.Backfill) (batch.AuditEntry, error) {
	entry := batch.AuditEntry{TeamID: b.TeamID, ExportID: b.ExportID, SubjectID: b.ID, Action: batch.ActBackfillCreated}
	if b.Retry {
		entry.Action = batch.ActRunRetried
	}
	var err error
	entry.Changes, err = changesOf(nil, map[string]any{
		"start_at": utcOrNil(b.StartAt), "end_at": utcOrNil(b.EndAt), "order": b.Order, "concurrency": b.Concurrency,
		"skip_delivered": b.SkipDelivered, "replace": b.Replace,
	})
	return entry, err
}

// fieldChange is a change between two words of ours.
func fieldChange[T ~string](name string, before, after T) batch.FieldChange {
	quoted := func(word T) json.RawMessage { return json.RawMessage(`"` + string(word) + `"`) }
	return batch.FieldChange{Field: name, Before: quoted(before), After: quoted(after)}
}
