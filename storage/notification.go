package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/batch"
)

// notificationRow is a row of the table notifications.
type notificationRow struct {
	ID        uuid.UUID `gorm:"primaryKey"`
	TeamID    int64
	ExportID  *uuid.UUID
	Event     string
	Key       string
	Facts     string    // JSON
	CreatedAt time.Time `gorm:"autoCreateTime:false"`
	StartedAt *time.Time
}

// TableName names the table for GORM.
func (notificationRow) TableName() string { return "notifications" }

func notificationRowOf(n batch.Notification) (notificationRow, error) {
	facts, err := json.Marshal(n.Facts)
	if err != nil {
		return notificationRow{}, fmt.Errorf("encode facts: %w", err)
	}
	return notificationRow{
		ID: n.ID, TeamID: n.TeamID, ExportID: idOrNil(n.ExportID), Event: string(n.Event), Key: n.Key, Facts: clean(string(facts)),
		CreatedAt: utc(n.CreatedAt),
	}, nil
}

func notificationOf(r notificationRow) (batch.Notification, error) {
	n := batch.Notification{
		ID: r.ID, TeamID: r.TeamID, ExportID: idOf(r.ExportID), Event: batch.Event(r.Event), Key: r.Key, CreatedAt: utc(r.CreatedAt),
	}
	if err := json.Unmarshal([]byte(r.Facts), &n.Facts); err != nil {
		return n, fmt.Errorf("decode facts: %w", err)
	}
	return n, nil
}

// wanting returns the subscriptions that are to be told of something about a team's export. What is sealed of them is not
// read.
func wanting(tx *gorm.DB, teamID int64, exportID uuid.UUID) ([]subscriptionRow, error) {
	var rows []subscriptionRow
	err := tx.Select("id, team_id, export_id, events, late_after, enabled").
		Where("team_id = ? AND enabled AND (export_id IS NULL OR export_id = ?)", teamID, exportID).Order("id").Limit(maxRows).Find(&rows).Error
	return rows, err
}

// notify writes a notification and a message to each subscription that wants it, unless the event has one with the key or
// nobody wants it. The caller starts its workflow when the transaction is over; when it dies before, the reconciler does.
func (db *DB) notify(tx *gorm.DB, subscriptions []subscriptionRow, n batch.Notification) error {
	var recipients []subscriptionRow
	for _, s := range subscriptions {
		if s.wants(n.Event) {
			recipients = append(recipients, s)
		}
	}
	if len(recipients) == 0 {
		return nil
	}
	n.ID, n.CreatedAt = uuid.Must(uuid.NewV7()), db.instant()
	row, err := notificationRowOf(n)
	if err != nil {
		return err
	}
	result := tx.Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "export_id"}, {Name: "event"}, {Name: "key"}}, DoNothing: true,
	}).Create(&row)
	if result.Error != nil || result.RowsAffected == 0 {
		return result.Error
	}
	for _, s := range recipients {
		message := newMessageRow(n, s.ID)
		if err := tx.Create(&message).Error; err != nil {
			return err
		}
	}
	return nil
}

// aside runs something that must not fail what it stands beside: what it did is taken back when it fails, and the
// transaction goes on. That it failed is told by the metric and in the log of whoever watches Lost.
func (db *DB) aside(tx *gorm.DB, event batch.Event, do func(tx *gorm.DB) error) {
	if err := tx.Transaction(do); err != nil && db.lost != nil {
		db.lost(event, err)
	}
}

// WithLost returns the same database that tells when a notification could not be written beside what it is about.
func (db *DB) WithLost(lost func(event batch.Event, err error)) *DB {
	other := *db
	other.lost = lost
	return &other
}

// compared is how many of an export's newest runs are looked at for what came before the one that ended.
const compared = 50

// tellOfRun notifies of how a run ended. It never fails the run.
func (db *DB) tellOfRun(tx *gorm.DB, before, after batch.Run) {
	if !after.Status.Final() || before.Status == after.Status {
		return
	}
	db.aside(tx, eventOf(after), func(tx *gorm.DB) error {
		subscriptions, err := wanting(tx, after.TeamID, after.ExportID)
		if err != nil || len(subscriptions) == 0 {
			return err
		}
		facts, err := factsOf(tx, after)
		if err != nil {
			return err
		}
		n := batch.Notification{TeamID: after.TeamID, ExportID: after.ExportID, Event: eventOf(after), Key: after.ID.String(), Facts: facts}
		switch {
		case failed(after.Status):
			return db.notify(tx, subscriptions, n)
		case after.Status != batch.RunCompleted:
			return nil // somebody wanted it so
		}
		if n.Key, err = recoveredFrom(tx, after); err != nil {
			return err
		}
		if n.Key != "" {
			if err := db.notify(tx, subscriptions, n); err != nil {
				return err
			}
		}
		unusual, err := unusuallyEmpty(tx, after, facts.Interval)
		if err != nil || !unusual {
			return err
		}
		n.Event, n.Key = batch.EventZeroRows, after.Interval.String()
		return db.notify(tx, subscriptions, n)
	})
}

// failed says whether a run ended in a way that somebody has to look at.
func failed(s batch.RunStatus) bool { return s == batch.RunFailed || s == batch.RunTimedOut }

func eventOf(r batch.Run) batch.Event {
	if failed(r.Status) {
		return batch.EventFailed
	}
	return batch.EventRecovered
}

// factsOf takes the facts of a run from the database: the export's settings are not read.
func factsOf(tx *gorm.DB, r batch.Run) (batch.Facts, error) {
	facts, err := factsOfExport(tx, r.ExportID)
	if err != nil {
		return facts, err
	}
	facts.RunID, facts.End, facts.Rows = &r.ID, &r.Interval.End, r.RowsCompleted
	if !r.Interval.Start.IsZero() {
		facts.Start = &r.Interval.Start
	}
	if failed(r.Status) {
		facts.ErrorCode, facts.Error = r.ErrorCode, r.LatestError
	}
	return facts, nil
}

func factsOfExport(tx *gorm.DB, id uuid.UUID) (batch.Facts, error) {
	var e exportRow
	if err := tx.Select("name, model, frequency, destination_type").Where("id = ?", id).Take(&e).Error; err != nil {
		return batch.Facts{}, err
	}
	return batch.Facts{Name: e.Name, Model: batch.Model(e.Model), Interval: batch.Frequency(e.Frequency), Destination: e.DestinationType}, nil
}

// recoveredFrom returns the id of the failed run that was the export's last one to end before this one completed; empty =
// the last one did not fail. It makes the recovery the only one, however many runs complete at once.
func recoveredFrom(tx *gorm.DB, r batch.Run) (string, error) {
	var rows []runRow
	err := tx.Select("id, status, finished_at").
		Where("export_id = ? AND id <> ? AND status IN ('Completed', 'Failed', 'TimedOut')", r.ExportID, r.ID).
		Order("created_at DESC, id DESC").Limit(compared).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return "", err
	}
	ended := func(r runRow) time.Time {
		if r.FinishedAt == nil {
			return time.Time{}
		}
		return *r.FinishedAt
	}
	last := slices.MaxFunc(rows, func(a, b runRow) int { return ended(a).Compare(ended(b)) })
	if !failed(batch.RunStatus(last.Status)) {
		return "", nil
	}
	return last.ID.String(), nil
}

// leastCompared is how many runs there must be to compare one without rows with.
const leastCompared = 3

// unusuallyEmpty says whether a scheduled run had no rows although every one of the intervals before it had some.
func unusuallyEmpty(tx *gorm.DB, r batch.Run, f batch.Frequency) (bool, error) {
	if r.BackfillID != nil || r.RowsCompleted == nil || *r.RowsCompleted > 0 {
		return false, nil
	}
	var before struct {
		Runs  int64
		Least *int64
	}
	err := tx.Raw(`SELECT COUNT(*) AS runs, MIN(rows_completed) AS least FROM runs
		WHERE export_id = ? AND interval_end > ? AND interval_end <= ? AND status = 'Completed'`,
		r.ExportID, utc(r.Interval.End.Add(-f.Lookback())), utc(r.Interval.Start)).Scan(&before).Error
	return before.Runs >= leastCompared && before.Least != nil && *before.Least > 0, err
}

// tellOfPause notifies of an export that was paused because too many of its runs failed. It never fails the pause.
func (db *DB) tellOfPause(ctx context.Context, tx *gorm.DB, before, after batch.Export) {
	act := batch.ActOf(ctx)
	if act.Action != batch.ActExportAutoPaused || before.Paused || !after.Paused {
		return
	}
	db.aside(tx, batch.EventAutoPaused, func(tx *gorm.DB) error {
		subscriptions, err := wanting(tx, after.TeamID, after.ID)
		if err != nil || len(subscriptions) == 0 {
			return err
		}
		facts, err := factsOfExport(tx, after.ID)
		if err != nil {
			return err
		}
		facts.Note = act.Note
		return db.notify(tx, subscriptions, batch.Notification{
			TeamID: after.TeamID, ExportID: after.ID, Event: batch.EventAutoPaused, Key: fmt.Sprintf("revision %d", after.Revision), Facts: facts,
		})
	})
}

// columnsRow is a row of the table export_columns.
type columnsRow struct {
	ExportID  uuid.UUID `gorm:"primaryKey"`
	Revision  int64
	Columns   string // JSON
	ChangedAt time.Time
}

// TableName names the table for GORM.
func (columnsRow) TableName() string { return "export_columns" }

// RecordColumns keeps which columns a completed run delivered, and notifies when they are others than those of the run
// before. A run of an older definition than the last one's says nothing.
func (db *DB) RecordColumns(ctx context.Context, r batch.Run, columns []string) error {
	columns = slices.Sorted(slices.Values(columns))
	text, err := json.Marshal(columns)
	if err != nil {
		return classify("record columns", err)
	}
	var rows []columnsRow
	if err := db.reading(ctx).Where("export_id = ?", r.ExportID).Find(&rows).Error; err != nil {
		return classify("record columns", err)
	}
	if len(rows) == 1 && sameColumns(rows[0].Columns, columns) {
		return nil // nearly always
	}
	return db.transact(ctx, "record columns", func(tx *gorm.DB) error {
		row := columnsRow{ExportID: r.ExportID, Revision: r.Revision, Columns: string(text), ChangedAt: db.instant()}
		result := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "export_id"}}, DoNothing: true}).Create(&row)
		if result.Error != nil || result.RowsAffected == 1 {
			return result.Error // the first ones are no change
		}
		var before columnsRow
		if err := forUpdate(tx).Where("export_id = ?", r.ExportID).Take(&before).Error; err != nil {
			return err
		}
		if before.Revision > r.Revision || sameColumns(before.Columns, columns) {
			return nil
		}
		if err := tx.Select("*").Updates(&row).Error; err != nil {
			return err
		}
		return db.tellOfColumns(tx, r, before.Columns, columns)
	})
}

func sameColumns(text string, columns []string) bool {
	var have []string
	return json.Unmarshal([]byte(text), &have) == nil && slices.Equal(have, columns)
}

func (db *DB) tellOfColumns(tx *gorm.DB, r batch.Run, before string, columns []string) error {
	subscriptions, err := wanting(tx, r.TeamID, r.ExportID)
	if err != nil || len(subscriptions) == 0 {
		return err
	}
	facts, err := factsOf(tx, r)
	if err != nil {
		return err
	}
	var had []string
	if err := json.Unmarshal([]byte(before), &had); err != nil {
		return fmt.Errorf("decode columns: %w", err)
	}
	facts.Added, facts.Removed = without(columns, had), without(had, columns)
	return db.notify(tx, subscriptions, batch.Notification{
		TeamID: r.TeamID, ExportID: r.ExportID, Event: batch.EventSchemaChanged, Key: r.ID.String(), Facts: facts,
	})
}

// maxTold is how many columns a notification names.
const maxTold = 50

// without returns those of a that b lacks, but not too many.
func without(a, b []string) []string {
	left := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	return left[:min(len(left), maxTold)]
}

// UnstartedNotifications returns notifications whose workflow may not have been started, oldest first: of an export, or
// of all exports when it is zero those that are older than the time.
func (db *DB) UnstartedNotifications(ctx context.Context, exportID uuid.UUID, before time.Time, limit int) ([]batch.Notification, error) {
	query := db.reading(ctx).Where("started_at IS NULL")
	if exportID != uuid.Nil {
		query = query.Where("export_id = ?", exportID)
	} else {
		query = query.Where("created_at <= ?", utc(before))
	}
	var rows []notificationRow
	if err := query.Order("created_at, id").Limit(limited(limit)).Find(&rows).Error; err != nil {
		return nil, classify("list notifications", err)
	}
	return notificationsOf(rows)
}

// UnfinishedNotifications pages, by id, through the notifications whose workflow was started and that have messages which
// were made before the time and are still to be sent. Tests are not among them.
func (db *DB) UnfinishedNotifications(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]batch.Notification, error) {
	var rows []notificationRow
	err := db.reading(ctx).Where(`id > ? AND started_at IS NOT NULL AND event <> ? AND id IN (
		SELECT notification_id FROM messages WHERE status = 'pending' AND created_at <= ?)`, after, string(batch.EventTest), utc(before)).
		Order("id").Limit(limited(limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list notifications", err)
	}
	return notificationsOf(rows)
}

func notificationsOf(rows []notificationRow) ([]batch.Notification, error) {
	all := make([]batch.Notification, 0, len(rows))
	for _, row := range rows {
		n, err := notificationOf(row)
		if err != nil {
			return nil, classify("list notifications", err)
		}
		all = append(all, n)
	}
	return all, nil
}

// MarkNotificationStarted says that the notification's workflow was started.
func (db *DB) MarkNotificationStarted(ctx context.Context, id uuid.UUID) error {
	err := db.writing(ctx).Model(&notificationRow{}).Where("id = ? AND started_at IS NULL", id).UpdateColumn("started_at", db.instant()).Error
	return classify("mark notification", err)
}

// DeleteNotifications removes notifications that are older than the time, with what was sent of them, and returns how many.
func (db *DB) DeleteNotifications(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec(strings.TrimSpace(`
		DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE created_at < ? ORDER BY created_at, id LIMIT ?)`),
		utc(before), limited(limit))
	return result.RowsAffected, classify("delete notifications", result.Error)
}
