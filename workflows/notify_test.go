package workflows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/workflows"
)

// A post is a notification, those who are to get it, and what they answer.
type post struct {
	env *testsuite.TestWorkflowEnvironment
	// answers are what each message's receiver says to each try, the last of them again and again.
	answers map[uuid.UUID][]batch.Attempt
	off     uuid.UUID // a message whose subscription is gone

	mu       sync.Mutex
	statuses map[uuid.UUID]batch.MessageStatus
	tries    map[uuid.UUID][]time.Time
	age      time.Duration // of the notification
	outcomes []string
}

func newPost(answers ...[]batch.Attempt) (*post, []uuid.UUID) {
	p := &post{answers: map[uuid.UUID][]batch.Attempt{}, statuses: map[uuid.UUID]batch.MessageStatus{}, tries: map[uuid.UUID][]time.Time{}}
	var ids []uuid.UUID
	for _, a := range answers {
		id := uuid.New()
		ids = append(ids, id)
		p.answers[id], p.statuses[id] = a, batch.MessagePending
	}
	return p, ids
}

func (p *post) PendingMessages(context.Context, uuid.UUID) ([]uuid.UUID, time.Time, error) {
	var ids []uuid.UUID
	for id, status := range p.statuses {
		if status == batch.MessagePending {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return ids, time.Now().Add(-p.age), nil
}

func (p *post) Message(_ context.Context, id uuid.UUID) (batch.Message, batch.Notification, *batch.Subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := &batch.Subscription{ID: id, Enabled: true}
	if id == p.off {
		to = nil
	}
	return batch.Message{ID: id, Status: p.statuses[id]}, batch.Notification{ID: id, Event: batch.EventFailed}, to, nil
}

func (p *post) SaveAttempt(_ context.Context, id uuid.UUID, a batch.Attempt) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Delivered() {
		p.statuses[id] = batch.MessageDelivered
	}
	return nil
}

func (p *post) GiveUpMessage(_ context.Context, id uuid.UUID) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.statuses[id] == batch.MessagePending
	if changed {
		p.statuses[id] = batch.MessageFailed
	}
	return changed, nil
}

func (p *post) Send(_ context.Context, to batch.Subscription, _ batch.Notification) batch.Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries[to.ID] = append(p.tries[to.ID], p.env.Now())
	answers := p.answers[to.ID]
	return answers[min(len(p.tries[to.ID]), len(answers))-1]
}

func (p *post) Notified(_ batch.Event, outcome string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes = append(p.outcomes, outcome)
}

// play runs Notify over the real activities.
func (p *post) play(t *testing.T) workflows.NotifyResult {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	p.env = suite.NewTestWorkflowEnvironment()
	p.env.SetWorkerOptions(patient)
	p.env.SetTestTimeout(time.Minute)
	p.env.RegisterActivity(&activities.Notices{Store: p, Sender: p, Metrics: p, Log: zap.NewNop(), Now: time.Now})
	p.env.ExecuteWorkflow(workflows.Notify, workflows.NotifyInput{NotificationID: uuid.New(), TeamID: 1, Event: batch.EventFailed})
	require.True(t, p.env.IsWorkflowCompleted())
	require.NoError(t, p.env.GetWorkflowError())
	var result workflows.NotifyResult
	require.NoError(t, p.env.GetWorkflowResult(&result))
	return result
}

// What receivers say.
var (
	yes  = batch.Attempt{StatusCode: 200}
	no   = batch.Attempt{StatusCode: 503, Error: "the receiver answered 503"}
	wait = batch.Attempt{StatusCode: 429, Error: "the receiver answered 429", RetryAfter: 10 * time.Minute}
	gone = batch.Attempt{StatusCode: 410, Error: "the receiver answered 410: it is gone", Final: true}
)

func TestANotificationIsSentToAll(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{yes}, []batch.Attempt{yes}, []batch.Attempt{yes})
	require.Equal(t, workflows.NotifyResult{Delivered: 3}, p.play(t))
	for _, id := range ids {
		require.Equal(t, batch.MessageDelivered, p.statuses[id])
		require.Len(t, p.tries[id], 1)
	}
}

func TestANotificationNobodyWantsAnyMoreIsNothingToDo(t *testing.T) {
	t.Parallel()
	p, _ := newPost()
	require.Equal(t, workflows.NotifyResult{}, p.play(t))
}

func TestAReceiverThatFailsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{no, no, yes}, []batch.Attempt{yes})
	require.Equal(t, workflows.NotifyResult{Delivered: 2}, p.play(t))
	failing, other := p.tries[ids[0]], p.tries[ids[1]]
	require.Len(t, failing, 3)
	require.Equal(t, 5*time.Second, failing[1].Sub(failing[0]).Round(time.Second))
	require.Equal(t, 10*time.Second, failing[2].Sub(failing[1]).Round(time.Second))
	require.Len(t, other, 1)
	require.ElementsMatch(t, []string{"retried", "retried", "delivered", "delivered"}, p.outcomes)
}

func TestAReceiverMaySayWhenToComeAgain(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{wait, yes})
	require.Equal(t, workflows.NotifyResult{Delivered: 1}, p.play(t))
	require.Equal(t, 10*time.Minute, p.tries[ids[0]][1].Sub(p.tries[ids[0]][0]).Round(time.Second))
}

// TestAMessageIsGivenUpWhenTheTimeIsUp ends the tries with the tenth: the test environment makes no more, whatever the
// policy is.
func TestAMessageIsGivenUpWhenTheTimeIsUp(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{no})
	require.Equal(t, workflows.NotifyResult{Failed: 1}, p.play(t))
	require.Equal(t, batch.MessageFailed, p.statuses[ids[0]])
	tries := p.tries[ids[0]]
	require.Len(t, tries, 10)
	require.Equal(t, 2555*time.Second, tries[9].Sub(tries[0]).Round(time.Second), "tries become rare")
	require.Equal(t, "given_up", p.outcomes[len(p.outcomes)-1])
}

func TestAReceiverThatIsGoneIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{gone})
	require.Equal(t, workflows.NotifyResult{Failed: 1}, p.play(t))
	require.Len(t, p.tries[ids[0]], 1)
	require.Equal(t, batch.MessageFailed, p.statuses[ids[0]])
}

func TestAMessageOfADeletedSubscriptionIsNotSent(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{yes})
	p.off = ids[0]
	require.Equal(t, workflows.NotifyResult{Failed: 1}, p.play(t))
	require.Empty(t, p.tries)
}

func TestWhatWasTakenIsNotSentAgain(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{yes}, []batch.Attempt{yes})
	p.statuses[ids[0]] = batch.MessageDelivered
	require.Equal(t, workflows.NotifyResult{Delivered: 1}, p.play(t))
	require.Empty(t, p.tries[ids[0]])
}

func TestACancelledNotificationIsGivenUp(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{no})
	var suite testsuite.WorkflowTestSuite
	p.env = suite.NewTestWorkflowEnvironment()
	p.env.SetWorkerOptions(patient)
	p.env.RegisterActivity(&activities.Notices{Store: p, Sender: p, Metrics: p, Log: zap.NewNop(), Now: time.Now})
	p.env.RegisterDelayedCallback(p.env.CancelWorkflow, time.Minute)
	p.env.ExecuteWorkflow(workflows.Notify, workflows.NotifyInput{NotificationID: uuid.New()})
	require.True(t, p.env.IsWorkflowCompleted())
	require.Equal(t, batch.MessageFailed, p.statuses[ids[0]])
	tries := p.tries[ids[0]]
	require.Less(t, tries[len(tries)-1].Sub(tries[0]), 2*time.Minute)
}

func TestANotificationThatIsStartedAgainHasWhatIsLeftOfItsDay(t *testing.T) {
	t.Parallel()
	p, ids := newPost([]batch.Attempt{no})
	p.age = batch.NotifyFor - 5*time.Minute
	var suite testsuite.WorkflowTestSuite
	p.env = suite.NewTestWorkflowEnvironment()
	p.env.SetWorkerOptions(patient)
	p.env.RegisterActivity(&activities.Notices{Store: p, Sender: p, Metrics: p, Log: zap.NewNop(), Now: time.Now})
	p.env.ExecuteWorkflow(workflows.Notify, workflows.NotifyInput{NotificationID: uuid.New()})
	require.True(t, p.env.IsWorkflowCompleted())
	require.Equal(t, batch.MessageFailed, p.statuses[ids[0]])
	tries := p.tries[ids[0]]
	require.Greater(t, len(tries), 1)
	require.Less(t, tries[len(tries)-1].Sub(tries[0]), 6*time.Minute)
}

// TestATryThatFailsTellsTemporalOnlyWhatIsSaidOfIt is about what enters a history.
func TestATryThatFailsTellsTemporalOnlyWhatIsSaidOfIt(t *testing.T) {
	t.Parallel()
	p, _ := newPost([]batch.Attempt{no})
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	p.env = suite.NewTestWorkflowEnvironment()
	notices := &activities.Notices{Store: p, Sender: p, Metrics: p, Log: zap.NewNop(), Now: time.Now}
	env.RegisterActivity(notices)
	for id := range p.answers {
		_, err := env.ExecuteActivity(notices.SendMessage, activities.MessageInput{MessageID: id})
		require.ErrorContains(t, err, "the receiver answered 503")
		require.NotContains(t, errors.Unwrap(err).Error(), "http")
	}
}
