package api

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/internal/auth"
)

const (
	maxNoticeName   = 200
	maxNoticeURL    = 2048
	maxNoticeSecret = 200
	// messagePage is how many messages a page has.
	messagePage = 50
)

// A notificationBody is a subscription to events as clients see it.
type notificationBody struct {
	ID            uuid.UUID              `json:"id"`
	BatchExportID *uuid.UUID             `json:"batch_export_id"` // null = all of the project
	Name          string                 `json:"name"`
	Kind          batch.SubscriptionKind `json:"kind"`
	// URL is never more than the host: with many receivers, whoever knows the whole may post.
	URL    string        `json:"url"`
	Events []batch.Event `json:"events"`
	// LateAfterMinutes is after how long an interval is late; null = as its length has it.
	LateAfterMinutes *int64 `json:"late_after_minutes"`
	Enabled          bool   `json:"enabled"`
	// Secret is shown when it is made, and never again.
	Secret *string `json:"secret"`
	// OldSecretUntil is until when the secret before is signed with too; null = it is not.
	OldSecretUntil *instant `json:"old_secret_until"`
	CreatedAt      instant  `json:"created_at"`
	LastUpdatedAt  instant  `json:"last_updated_at"`
}

// notificationsBody is a list that is never long.
type notificationsBody struct {
	Results []notificationBody `json:"results"`
}

// A messageBody is a notification on its way to a subscription.
type messageBody struct {
	ID             uuid.UUID           `json:"id"`
	NotificationID uuid.UUID           `json:"notification_id"`
	BatchExportID  *uuid.UUID          `json:"batch_export_id"`
	Event          batch.Event         `json:"event"`
	Status         batch.MessageStatus `json:"status"`
	Attempts       []attemptBody       `json:"attempts"`
	CreatedAt      instant             `json:"created_at"`
	FinishedAt     *instant            `json:"finished_at"`
}

// An attemptBody is one try to send a message.
type attemptBody struct {
	Attempt    int     `json:"attempt"`
	At         instant `json:"at"`
	Delivered  bool    `json:"delivered"`
	StatusCode *int    `json:"status_code"`
	DurationMS int64   `json:"duration_ms"`
	Error      *string `json:"error"`
}

func notificationBodyOf(n batch.Subscription) notificationBody {
	return notificationBody{
		ID: n.ID, BatchExportID: orNone(n.ExportID), Name: n.Name, Kind: n.Kind, URL: redactedURL(n.URL), Events: n.Events,
		LateAfterMinutes: orNone(int64(n.LateAfter / time.Minute)), Enabled: n.Enabled,
		OldSecretUntil: instantOf(orNone(n.OldSecretUntil)), CreatedAt: instant(n.CreatedAt), LastUpdatedAt: instant(n.LastUpdatedAt),
	}
}

// redactedURL is what may be shown of an address.
func redactedURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "***"
	}
	return u.Scheme + "://" + u.Host + "/***"
}

func messageBodyOf(m batch.Message) messageBody {
	return messageBody{
		ID: m.ID, NotificationID: m.NotificationID, BatchExportID: orNone(m.ExportID), Event: m.Event, Status: m.Status,
		Attempts: each(m.Attempts, attemptBodyOf), CreatedAt: instant(m.CreatedAt), FinishedAt: instantOf(m.FinishedAt),
	}
}

func attemptBodyOf(a batch.Attempt) attemptBody {
	return attemptBody{
		Attempt: a.Number, At: instant(a.At), Delivered: a.Delivered(), StatusCode: orNone(a.StatusCode), DurationMS: a.Duration.Milliseconds(),
		Error: orNone(a.Error),
	}
}

var (
	noticeKinds  = oneOf(textsOf(batch.SubscriptionKinds)...)
	noticeEvents = textsOf(batch.Events)
)

// notificationRoutes are the same for all exports of a project and for one of them.
func (s *Server) notificationRoutes() []route {
	return slices.Concat(
		s.notificationRoutesBelow(exportsPath, "", "all batch exports of a project"),
		s.notificationRoutesBelow(exportPath, "_of_export", "a batch export"))
}

func (s *Server) notificationRoutesBelow(path, suffix, of string) []route {
	const one = "/:notification_id"
	path += "/notifications"
	answer := reflect.TypeFor[notificationBody]()
	return []route{
		{http.MethodGet, path, auth.ScopeRead, s.listNotifications, operation{
			id: "notifications_list" + suffix, summary: "List who is told of events of " + of, status: http.StatusOK, answer: reflect.TypeFor[notificationsBody](),
		}},
		{http.MethodPost, path, auth.ScopeWrite, s.createNotification, operation{
			id: "notifications_create" + suffix, summary: "Have somebody told of events of " + of, status: http.StatusCreated, answer: answer,
			body: func(f *form) { noticeDraftOf(f) }, example: exampleNotification,
		}},
		{http.MethodGet, path + one, auth.ScopeRead, s.getNotification, operation{
			id: "notifications_get" + suffix, summary: "Read who is told of events of " + of, status: http.StatusOK, answer: answer,
		}},
		{http.MethodPatch, path + one, auth.ScopeWrite, s.patchNotification, operation{
			id: "notifications_change" + suffix, summary: "Change who is told of events of " + of, status: http.StatusOK, answer: answer,
			body: func(f *form) { noticeChangeOf(f) }, example: exampleNotificationChange,
		}},
		{http.MethodDelete, path + one, auth.ScopeWrite, s.deleteNotification, operation{
			id: "notifications_delete" + suffix, summary: "Have somebody told no more of events of " + of, status: http.StatusNoContent,
		}},
		{http.MethodPost, path + one + "/test", auth.ScopeWrite, s.testNotification, operation{
			id: "notifications_test" + suffix, summary: "Send a test now, and tell how that went", status: http.StatusOK, answer: reflect.TypeFor[attemptBody](),
		}},
		{http.MethodGet, path + one + "/deliveries", auth.ScopeRead, s.listMessages, operation{
			id: "notifications_deliveries" + suffix, summary: "List what was sent, newest first, with every try", status: http.StatusOK,
			answer: reflect.TypeFor[cursorPage[messageBody]](), query: func(p *params) { p.text("cursor") },
		}},
	}
}

const (
	exampleNotification       = `{"name": "On call", "kind": "webhook", "url": "https://example.com/hooks/tranche", "events": ["failed", "recovered", "late"]}`
	exampleNotificationChange = `{"enabled": false}`
)

// noticeDraftOf reads a subscription from the form, in the order in which problems are told.
func noticeDraftOf(f *form) app.SubscriptionDraft {
	d := app.SubscriptionDraft{Enabled: true}
	d.Name = f.text("name", required, maxNoticeName)
	d.Kind = batch.SubscriptionKind(f.choice("kind", required, noticeKinds))
	d.URL = f.text("url", required, maxNoticeURL)
	d.Secret = f.text("secret", nullable, maxNoticeSecret)
	d.Events = f.events()
	d.LateAfter = f.lateAfter()
	if enabled := sent(f, "enabled", f.boolean("enabled")); enabled.Is {
		d.Enabled = enabled.Value
	}
	return d
}

// noticeChangeOf reads a change of a subscription. Its kind stays.
func noticeChangeOf(f *form) app.SubscriptionChange {
	return app.SubscriptionChange{
		Name: sent(f, "name", f.text("name", optional, maxNoticeName)), URL: sent(f, "url", f.text("url", optional, maxNoticeURL)),
		Secret: sent(f, "secret", f.text("secret", optional, maxNoticeSecret)), Events: sent(f, "events", f.events()),
		LateAfter: sent(f, "late_after_minutes", f.lateAfter()), Enabled: sent(f, "enabled", f.boolean("enabled")),
		RotateSecret: f.boolean("rotate_secret"), RevokeOldSecret: f.boolean("revoke_old_secret"),
	}
}

// lateAfter reads after how many minutes an interval is late; absent and null mean 0, as the interval has it.
func (f *form) lateAfter() time.Duration {
	const name, least, most = "late_after_minutes", int(batch.LeastLateAfter / time.Minute), int(batch.MostLateAfter / time.Minute)
	n := f.integerWithin(name, nullable, least, most)
	switch {
	case n == nil:
		return 0
	case *n < least || *n > most:
		f.failField(name, codeInvalid, "Ensure this value is from %d to %d.", least, most)
		return 0
	}
	return time.Duration(*n) * time.Minute
}

// events reads a list of events; absent and null mean all.
func (f *form) events() []batch.Event {
	f.note("events", nullable, schema{"type": "array", "items": schema{"type": "string", "enum": noticeEvents}})
	value, ok := f.value("events", nullable)
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		f.failField("events", codeInvalid, "Expected a list of items but got type \"%s\".", typeName(value))
		return nil
	}
	var events []batch.Event
	for i, item := range list {
		text, ok := item.(string)
		if !ok || !slices.Contains(noticeEvents, text) {
			f.failField("events", codeChoice, "\"%s\" is not a valid choice.", shown(list[i]))
			return nil
		}
		events = append(events, batch.Event(text))
	}
	return events
}

// noticed are the ids of a path about notifications: of the export, zero = all of the project, and of the subscription,
// zero = the path names none.
func noticed(c *gin.Context) (exportID, id uuid.UUID, err error) {
	for name, into := range map[string]*uuid.UUID{"id": &exportID, "notification_id": &id} {
		if c.Param(name) == "" {
			continue
		}
		if *into, err = pathID(c, name); err != nil {
			return exportID, id, err
		}
	}
	return exportID, id, nil
}

func (s *Server) listNotifications(c *gin.Context, who caller) (int, any, error) {
	exportID, _, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	list, err := s.Notifications.List(c.Request.Context(), who.teamID, exportID)
	return http.StatusOK, notificationsBody{Results: each(list, notificationBodyOf)}, err
}

// createNotification makes a subscription. It has no idempotency key: its answer holds a secret, and answers are kept.
func (s *Server) createNotification(c *gin.Context, who caller) (int, any, error) {
	exportID, _, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft := noticeDraftOf(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	n, err := s.Notifications.Create(c.Request.Context(), who.teamID, exportID, draft)
	if err != nil {
		return 0, nil, err
	}
	body := notificationBodyOf(n)
	body.Secret = orNone(n.Secret)
	return http.StatusCreated, body, nil
}

func (s *Server) getNotification(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	n, err := s.Notifications.Get(c.Request.Context(), who.teamID, exportID, id)
	return http.StatusOK, notificationBodyOf(n), err
}

func (s *Server) patchNotification(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	change := noticeChangeOf(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	n, err := s.Notifications.Update(c.Request.Context(), who.teamID, exportID, id, change)
	if err != nil {
		return 0, nil, err
	}
	body := notificationBodyOf(n)
	if change.RotateSecret {
		body.Secret = orNone(n.Secret)
	}
	return http.StatusOK, body, nil
}

func (s *Server) deleteNotification(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.Notifications.Delete(c.Request.Context(), who.teamID, exportID, id)
}

// testNotification sends a test. That the receiver does not take it is an answer, not an error.
func (s *Server) testNotification(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	attempt, err := s.Notifications.Test(c.Request.Context(), who.teamID, exportID, id)
	return http.StatusOK, attemptBodyOf(attempt), err
}

// listMessages answers with what was sent to a subscription.
func (s *Server) listMessages(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := noticed(c)
	if err != nil {
		return 0, nil, err
	}
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	page, err := turn(s, c, p, cursorList[batch.Message]{
		order: ordering{batch.OrderCreatedAt, true}, size: messagePage,
		identity: url.Values{"list": {"messages"}, "team": {strconv.FormatInt(who.teamID, 10)}, "of": {id.String()}},
		fetch: func(o ordering, after *batch.Position, limit int) ([]batch.Message, error) {
			return s.Notifications.Messages(c.Request.Context(), who.teamID, exportID,
				batch.MessageFilter{SubscriptionID: id, After: after, Desc: o.desc, Limit: limit})
		},
		position: func(m batch.Message) batch.Position { return batch.Position{Value: &m.CreatedAt, ID: m.ID} },
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, bodies(page, messageBodyOf), nil
}
