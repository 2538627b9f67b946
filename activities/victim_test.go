package activities_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/query"
	"tranche/sources"
	"tranche/storage"
)

// A worker does activities on a bucket. It may be in any process.
type worker struct {
	activities *activities.Activities
	env        *testsuite.TestActivityEnvironment
}

// A steppedStore names what the protocol does in the database.
type steppedStore struct {
	activities.Store
	at func(step string) error
}

// SaveReceipt comes after the split is staged.
func (s *steppedStore) SaveReceipt(ctx context.Context, id uuid.UUID, generation, attempt int, r destinations.Receipt) error {
	return errors.Join(s.at("receipt"), s.Store.SaveReceipt(ctx, id, generation, attempt, r))
}

// AcquireLease begins the commit.
func (s *steppedStore) AcquireLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, id uuid.UUID, ttl time.Duration) (int64, error) {
	if err := s.at("lease"); err != nil {
		return 0, err
	}
	return s.Store.AcquireLease(ctx, exportID, i, id, ttl)
}

// FencedObjects comes after the fence.
func (s *steppedStore) FencedObjects(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Object, error) {
	if err := s.at("fenced"); err != nil {
		return nil, err
	}
	return s.Store.FencedObjects(ctx, exportID, i)
}

// RecordDelivery comes after everything is published.
func (s *steppedStore) RecordDelivery(ctx context.Context, d batch.Delivery) error {
	if err := s.at("record"); err != nil {
		return err
	}
	return errors.Join(s.Store.RecordDelivery(ctx, d), s.at("recorded"))
}

func workerOn(db *storage.DB, at func(step string) error) *worker {
	w := &worker{activities: &activities.Activities{
		Store: &steppedStore{Store: db, at: at}, Source: bulk{}, Logs: &lines{}, Metrics: noMetrics{}, Log: zap.NewNop(), Now: time.Now,
		Models: query.PostHog(), Plugins: destinations.NewRegistry(s3.Plugins(s3.Server{})...),
		Limits: activities.Limits{Heartbeat: heartbeat, Short: 20 * time.Second, Parallel: 1},
	}}
	var suite testsuite.WorkflowTestSuite
	w.env = suite.NewTestActivityEnvironment()
	w.env.RegisterActivity(w.activities)
	return w
}

func (w *worker) do(activity string, run uuid.UUID) error {
	var err error
	switch activity {
	case "stage":
		_, err = w.env.ExecuteActivity(w.activities.Stage, activities.StageInput{RunID: run, Generation: 1, Splits: 1})
	case "commit":
		_, err = w.env.ExecuteActivity(w.activities.Commit, activities.RunInput{RunID: run, Generation: 1})
	case "finish":
		_, err = w.env.ExecuteActivity(w.activities.Finish, activities.FinishInput{RunID: run, Status: batch.RunCompleted})
	}
	return err
}

// bulk is a source of rows that fill two parts and some more.
type bulk struct{}

const (
	bulkRows  = 40
	bulkBytes = 1 << 20
)

var bulkSchema = arrow.NewSchema([]arrow.Field{{Name: "uuid", Type: arrow.BinaryTypes.String}, {Name: "text", Type: arrow.BinaryTypes.String}}, nil)

// Schema is the Source's.
func (bulk) Schema(context.Context, query.Query) (*arrow.Schema, error) { return bulkSchema, nil }

// Plan is the Source's.
func (bulk) Plan(_ context.Context, q query.Query, _ int) ([]sources.Split, error) {
	return []sources.Split{{Range: q.Interval}}, nil
}

// Open is the Source's.
func (bulk) Open(context.Context, query.Query, sources.Split) (array.RecordReader, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, bulkSchema)
	defer b.Release()
	for i := range bulkRows {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprint(i))
		b.Field(1).(*array.StringBuilder).Append(strings.Repeat("x", bulkBytes))
	}
	return array.NewRecordReader(bulkSchema, []arrow.RecordBatch{b.NewRecordBatch()})
}

// Count is the Source's.
func (bulk) Count(context.Context, query.Query) (int64, error) { return bulkRows, nil }

// Earliest is the Source's.
func (bulk) Earliest(context.Context, query.Query) (time.Time, bool, error) {
	return time.Time{}, false, nil
}

// Close is the Source's.
func (bulk) Close() error { return nil }
