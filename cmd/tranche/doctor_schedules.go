package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/workflows"
)

// mostLooks is how many schedules of unknown exports are looked at: each is a call to Temporal.
const mostLooks = 50

// checkSchedules finds schedules in the namespace that are not ours.
func (d *doctor) checkSchedules(ctx context.Context) {
	const check = "schedules"
	if d.db == nil {
		d.skip(check)
		return
	}
	us, err := d.db.Installation(ctx)
	if err != nil { // it is not migrated yet, which is told elsewhere
		d.skip(check)
		return
	}
	flows := &workflows.Client{Temporal: d.temporal, Namespace: d.temporal.namespace, Installation: us}
	scheduled, err := flows.Scheduled(ctx)
	if err != nil {
		d.problem(check, explained(err), "check the rights of our identity in the namespace")
		return
	}
	unknown, others := 0, 0
	for id := range scheduled {
		_, err := d.db.ExportByID(ctx, id)
		if errors.Is(err, batch.ErrNotFound) {
			var by uuid.UUID
			if unknown++; unknown <= mostLooks {
				by, err = flows.PutBy(ctx, id)
			} else {
				err = nil
			}
			if by != uuid.Nil && by != us { // what is ours, the reconciler removes
				others++
			}
		}
		if err != nil {
			d.problem(check, explained(err), "check the database and the rights of our identity in the namespace")
			return
		}
	}
	d.tellSchedules(check, len(scheduled), unknown, others)
}

func (d *doctor) tellSchedules(check string, all, unknown, others int) {
	switch {
	case others > 0:
		d.problem(check, fmt.Sprintf("%d of %d are of exports that the database does not know, and another installation has put them", unknown, all),
			"give each installation a namespace of its own (TRANCHE_TEMPORAL_NAMESPACE): in one they take each other's tasks, which then fail")
	case unknown > 0:
		d.warn(check, fmt.Sprintf("%d of %d are of exports that the database does not know, and do not say who has put them", unknown, all),
			"when the database was restored, remove them with \"temporal schedule delete\"; otherwise see whose they are: installations need a namespace each")
	default:
		d.ok(check, fmt.Sprintf("all %d are of exports in the database", all))
	}
}
