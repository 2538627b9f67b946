package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// messageRow is a row of the table messages.
type messageRow struct {
	ID             uuid.UUID `gorm:"primaryKey"`
	NotificationID uuid.UUID
	SubscriptionID uuid.UUID
	Status         string
	Attempts       int
	CreatedAt      time.Time `gorm:"autoCreateTime:false"`
	FinishedAt     *time.Time
}

// TableName names the table for GORM.
func (messageRow) TableName() string { return "messages" }

// attemptRow is a row of the table message_attempts.
type attemptRow struct {
	MessageID  uuid.UUID `gorm:"primaryKey"`
	Number     int       `gorm:"primaryKey;autoIncrement:false"`
	At         time.Time
	StatusCode int
	DurationMS int64 `gorm:"column:duration_ms"`
	Error      string
}

// TableName names the table for GORM.
func (attemptRow) TableName() string { return "message_attempts" }

func newMessageRow(n batch.Notification, subscriptionID uuid.UUID) messageRow {
	return messageRow{
		ID: uuid.Must(uuid.NewV7()), NotificationID: n.ID, SubscriptionID: subscriptionID, Status: string(batch.MessagePending),
		CreatedAt: utc(n.CreatedAt),
	}
}

func messageOf(r messageRow, n notificationRow, attempts []attemptRow) batch.Message {
	m := batch.Message{
		ID: r.ID, NotificationID: r.NotificationID, SubscriptionID: r.SubscriptionID, TeamID: n.TeamID, ExportID: idOf(n.ExportID),
		Event: batch.Event(n.Event), Status: batch.MessageStatus(r.Status), CreatedAt: utc(r.CreatedAt), FinishedAt: utcOrNil(r.FinishedAt),
	}
	for _, a := range attempts {
		m.Attempts = append(m.Attempts, batch.Attempt{
			Number: a.Number, At: utc(a.At), StatusCode: a.StatusCode, Duration: time.Duration(a.DurationMS) * time.Millisecond, Error: a.Error,
		})
	}
	return m
}

// CreateTest writes a notification for one subscription, whoever wants it or not, and its message. Nobody but the caller
// sends it.
func (db *DB) CreateTest(ctx context.Context, s batch.Subscription, facts batch.Facts) (batch.Notification, batch.Message, error) {
	n := batch.Notification{
		ID: uuid.Must(uuid.NewV7()), TeamID: s.TeamID, ExportID: s.ExportID, Event: batch.EventTest, Facts: facts, CreatedAt: db.instant(),
	}
	n.Key = n.ID.String()
	var message batch.Message
	err := db.transact(ctx, "create test", func(tx *gorm.DB) error {
		row, err := notificationRowOf(n)
		if err != nil {
			return err
		}
		row.StartedAt = &n.CreatedAt
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		m := newMessageRow(n, s.ID)
		message = messageOf(m, row, nil)
		if err := tx.Create(&m).Error; err != nil {
			return err
		}
		return db.audit(ctx, tx, batch.AuditEntry{TeamID: s.TeamID, ExportID: s.ExportID, SubjectID: s.ID, Action: batch.ActNotificationTested})
	})
	return n, message, err
}

// PendingMessages returns the ids of a notification's messages that are still to be sent, and when they were made.
func (db *DB) PendingMessages(ctx context.Context, notificationID uuid.UUID) (ids []uuid.UUID, made time.Time, err error) {
	var rows []messageRow
	err = db.reading(ctx).Select("id", "created_at").Where("notification_id = ? AND status = 'pending'", notificationID).Order("id").Limit(maxRows).Find(&rows).Error
	if err != nil {
		return nil, made, classify("list messages", err)
	}
	ids = make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i], made = row.ID, utc(row.CreatedAt) // all of one notification are made with it
	}
	return ids, made, nil
}

// Message returns a message with what it tells and to whom. The subscription is nil when it is there no more.
func (db *DB) Message(ctx context.Context, id uuid.UUID) (batch.Message, batch.Notification, *batch.Subscription, error) {
	var (
		row      messageRow
		about    notificationRow
		to       []subscriptionRow
		reading  = db.reading(ctx)
		complain = func(err error) (batch.Message, batch.Notification, *batch.Subscription, error) {
			return batch.Message{}, batch.Notification{}, nil, classify("read message", err)
		}
	)
	if err := reading.Where("id = ?", id).Take(&row).Error; err != nil {
		return complain(err)
	}
	if err := reading.Where("id = ?", row.NotificationID).Take(&about).Error; err != nil {
		return complain(err)
	}
	if err := reading.Where("id = ?", row.SubscriptionID).Find(&to).Error; err != nil {
		return complain(err)
	}
	n, err := notificationOf(about)
	if err != nil || len(to) == 0 {
		return messageOf(row, about, nil), n, nil, classify("read message", err)
	}
	s, err := db.sealer.subscriptionOf(to[0])
	return messageOf(row, about, nil), n, &s, err
}

// SaveAttempt adds a try to the log of a message, and ends the message when the try delivered it.
func (db *DB) SaveAttempt(ctx context.Context, id uuid.UUID, a batch.Attempt) error {
	return db.transact(ctx, "save attempt", func(tx *gorm.DB) error {
		var row messageRow
		if err := forUpdate(tx).Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		row.Attempts++
		if a.Delivered() && row.Status == string(batch.MessagePending) {
			now := db.instant()
			row.Status, row.FinishedAt = string(batch.MessageDelivered), &now
		}
		if err := tx.Select("status", "attempts", "finished_at").Updates(&row).Error; err != nil {
			return err
		}
		return tx.Create(&attemptRow{
			MessageID: id, Number: row.Attempts, At: utc(a.At), StatusCode: a.StatusCode, DurationMS: a.Duration.Milliseconds(), Error: clean(a.Error),
		}).Error
	})
}

// GiveUpMessage ends a message that is not delivered. It says whether it was pending.
func (db *DB) GiveUpMessage(ctx context.Context, id uuid.UUID) (bool, error) {
	result := db.writing(ctx).Model(&messageRow{}).Where("id = ? AND status = 'pending'", id).
		UpdateColumns(map[string]any{"status": string(batch.MessageFailed), "finished_at": db.instant()})
	return result.RowsAffected == 1, classify("give up message", result.Error)
}

// GiveUpMessages ends messages that were made before the time and that nobody sends any more, and returns how many.
func (db *DB) GiveUpMessages(ctx context.Context, before time.Time) (int64, error) {
	result := db.writing(ctx).Model(&messageRow{}).Where("status = 'pending' AND created_at < ?", utc(before)).
		UpdateColumns(map[string]any{"status": string(batch.MessageFailed), "finished_at": db.instant()})
	return result.RowsAffected, classify("give up messages", result.Error)
}

// ListMessages returns the messages that the filter selects, with their attempts.
func (db *DB) ListMessages(ctx context.Context, f batch.MessageFilter) ([]batch.Message, error) {
	var rows []messageRow
	query := db.reading(ctx).Where("subscription_id = ?", f.SubscriptionID)
	if err := behind(f.After, query, "created_at", f.Desc).Limit(limited(f.Limit)).Find(&rows).Error; err != nil || len(rows) == 0 {
		return nil, classify("list messages", err)
	}
	ids, about := make([]uuid.UUID, len(rows)), make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i], about[i] = row.ID, row.NotificationID
	}
	var (
		notifications []notificationRow
		attempts      []attemptRow
	)
	if err := db.reading(ctx).Where("id IN ?", about).Find(&notifications).Error; err != nil {
		return nil, classify("list messages", err)
	}
	if err := db.reading(ctx).Where("message_id IN ?", ids).Order("message_id, number").Find(&attempts).Error; err != nil {
		return nil, classify("list messages", err)
	}
	told, tried := map[uuid.UUID]notificationRow{}, map[uuid.UUID][]attemptRow{}
	for _, n := range notifications {
		told[n.ID] = n
	}
	for _, a := range attempts {
		tried[a.MessageID] = append(tried[a.MessageID], a)
	}
	messages := make([]batch.Message, len(rows))
	for i, row := range rows {
		messages[i] = messageOf(row, told[row.NotificationID], tried[row.ID])
	}
	return messages, nil
}
