package model

import (
	"context"

	"github.com/google/uuid"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
)

// Parts of the protocol that workers can leave out, to see that the model misses them: TRANCHE_MODEL_BROKEN names one for a walk.
const (
	withoutFence     = "fence"     // what others have staged for the interval stays
	withoutPrevious  = "previous"  // what is visible is not removed
	withoutRecord    = "record"    // what was published is not recorded
	withoutSupersede = "supersede" // deliveries of other lengths go on counting
)

// without is the store with a part of the protocol left out; "" leaves it whole.
func without(part string, store activities.Store) activities.Store {
	switch part {
	case withoutFence:
		return fenceless{store}
	case withoutPrevious:
		return blind{store}
	case withoutRecord:
		return recordless{store}
	case withoutSupersede:
		return lenient{store}
	}
	return store
}

type fenceless struct{ activities.Store }

func (fenceless) Fence(context.Context, uuid.UUID, batch.Interval, int64, uuid.UUID, int) ([]destinations.Journaled, error) {
	return nil, nil
}

type blind struct{ activities.Store }

func (blind) Visible(context.Context, uuid.UUID, batch.Interval) ([]batch.Delivery, error) {
	return nil, nil
}

type recordless struct{ activities.Store }

func (recordless) RecordDelivery(context.Context, batch.Delivery) error { return nil }

type lenient struct{ activities.Store }

func (lenient) Supersede(context.Context, batch.Run, int64, []batch.Interval) error { return nil }
