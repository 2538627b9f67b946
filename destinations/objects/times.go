package objects

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/query"
)

// A timeRange follows the smallest and the largest timestamp of a file.
type timeRange struct {
	lowest, highest arrow.Timestamp
	unit            arrow.TimeUnit
	any             bool
}

// clockIndex finds the column that bounds are kept of: the one that says when a row happened, or else one that has the
// name of that of events. -1 = there is none.
func clockIndex(schema *arrow.Schema, clock string) int {
	if clock == "" {
		clock = string(query.FieldTimestamp)
	}
	for i, f := range schema.Fields() {
		if f.Name == clock && f.Type.ID() == arrow.TIMESTAMP {
			return i
		}
	}
	return -1
}

// add takes in a column of timestamps.
func (r *timeRange) add(column arrow.Array) {
	timestamps, ok := column.(*array.Timestamp)
	if !ok {
		return
	}
	r.unit = timestamps.DataType().(*arrow.TimestampType).Unit
	nulls := timestamps.NullN() > 0
	for i, t := range timestamps.Values() {
		if nulls && timestamps.IsNull(i) {
			continue
		}
		if !r.any {
			r.lowest, r.highest, r.any = t, t, true
		}
		r.lowest, r.highest = min(r.lowest, t), max(r.highest, t)
	}
}

// bounds returns nils when there was no timestamp.
func (r *timeRange) bounds() (lowest, highest *time.Time) {
	if !r.any {
		return nil, nil
	}
	from, to := r.lowest.ToTime(r.unit), r.highest.ToTime(r.unit)
	return &from, &to
}
