package activities

import (
	"context"
	"time"

	"go.uber.org/zap"

	"tranche/batch"
)

// progressEvery is how often the progress of a split is saved, where the API shows it. It is far from the rows: a split
// that takes less long saves none.
const progressEvery = time.Second

// follow saves the progress of a split now and then, until the returned function is called, which waits.
func (a *Activities) follow(ctx context.Context, in StageInput, attempt int, m *meter) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	ticker := time.NewTicker(progressEvery)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		var saved int64
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			rows := m.rows.Load()
			if rows == saved {
				continue
			}
			err := a.saveProgress(ctx, in, attempt, rows, m.bytes.Load())
			if ctx.Err() != nil || batch.CodeOf(err) == batch.CodeSuperseded {
				return // the work itself hears of it
			}
			if err != nil {
				a.log(ctx).Warn("The progress of a split could not be saved.", zap.Error(err))
				continue
			}
			saved = rows
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (a *Activities) saveProgress(ctx context.Context, in StageInput, attempt int, rows, bytes int64) error {
	ctx, cancel := context.WithTimeout(ctx, a.Limits.Short)
	defer cancel()
	return a.Store.SaveProgress(ctx, in.RunID, in.Generation, in.Split, attempt, rows, bytes)
}
