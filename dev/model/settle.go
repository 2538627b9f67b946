package model

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"

	"tranche/batch"
	"tranche/destinations/objects"
	"tranche/dev/temporal"
)

// settleTimeout is how long everything may take to come to rest once there are no more faults.
const (
	settleTimeout = 100 * time.Second
	settlePoll    = 100 * time.Millisecond
)

// settle waits until nothing is under way and nothing dangles, and checks what must hold then. Faults still strike
// meanwhile, each once.
func (s *sequence) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	var last string
	for {
		busy, err := s.busy(ctx)
		if busy != "" {
			last = busy
		}
		if err == nil && busy == "" {
			s.h.faults.disarm() // those that nobody came by
			return s.check(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing settles: %s: %w", last, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// busy says what is still under way, or dangles.
func (s *sequence) busy(ctx context.Context) (string, error) {
	for _, what := range []string{"runs", "backfills"} {
		all, err := s.list(ctx, what)
		if err != nil {
			return "", err
		}
		for _, one := range all {
			if open(one.Status) {
				return fmt.Sprintf("%s %s is %s (%s)", what, one.ID, one.Status, one.Error), nil
			}
		}
	}
	running, err := s.h.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: temporal.Namespace,
		Query:     fmt.Sprintf("TrancheBatchExport = %q AND ExecutionStatus = 'Running'", s.export[1:]),
	})
	if err != nil {
		return "", err
	}
	if running.GetCount() > 0 {
		return fmt.Sprintf("%d workflows run", running.GetCount()), nil
	}
	var refs int
	if err := s.h.pool.QueryRow(ctx, `SELECT count(*) FROM refs WHERE export_id = $1`, s.export[1:]).Scan(&refs); err != nil {
		return "", err
	}
	if refs > 0 {
		return fmt.Sprintf("%d entries of the journal dangle", refs), nil
	}
	return s.staged(ctx)
}

// staged names what this export has staged and nobody published or aborted.
func (s *sequence) staged(ctx context.Context) (string, error) {
	runs, err := s.list(ctx, "runs")
	if err != nil {
		return "", err
	}
	mine := map[string]bool{"removal-" + s.export[1:]: true}
	for _, r := range runs {
		mine[r.ID] = true
	}
	for _, group := range s.h.world.Staged() {
		owner, _, _ := strings.Cut(group, "/")
		if len(owner) > 44 {
			owner = owner[:44] // removal-<export>
		}
		if mine[owner] {
			return fmt.Sprintf("group %s is staged", group), nil
		}
	}
	return "", nil
}

// check compares what a reader sees with what our database says was delivered.
func (s *sequence) check(ctx context.Context) error {
	if v := s.h.world.Violations(); len(v) > 0 {
		return fmt.Errorf("a reader saw a part of something:\n%s", strings.Join(v, "\n"))
	}
	id := uuid.MustParse(s.export[1:])
	deliveries, err := s.h.db.Deliveries(ctx, id, s.first.Add(-24*time.Hour), time.Now().Add(24*time.Hour))
	if err != nil {
		return err
	}
	visible := s.visible()
	delivered := map[int64]bool{}
	for _, d := range deliveries {
		delivered[d.Interval.End.Unix()] = true
		if err := checkDelivery(d, visible); err != nil {
			return err
		}
	}
	if len(visible) > 0 {
		return fmt.Errorf("visible, but of no delivery: %v", slices.Sorted(maps.Keys(visible)))
	}
	backfills, err := s.list(ctx, "backfills")
	if err != nil {
		return err
	}
	for _, b := range backfills {
		if b.Status != "Completed" || b.StartAt == nil {
			continue
		}
		from := *b.StartAt
		if b.AdjustedAt != nil {
			from = *b.AdjustedAt
		}
		for end := from.Add(time.Hour); !end.After(*b.EndAt); end = end.Add(time.Hour) {
			if !delivered[end.Unix()] {
				return fmt.Errorf("backfill %s is Completed, but nobody delivered the interval that ends at %s", b.ID, end)
			}
		}
	}
	return nil
}

// visible is what a reader sees of this export.
func (s *sequence) visible() map[string]visibleObject {
	mine := map[string]visibleObject{}
	for key, o := range s.h.world.Visible() {
		if strings.HasPrefix(key, s.prefix()+"/") {
			mine[key] = visibleObject{o.Group, o.Body}
		}
	}
	return mine
}

type visibleObject struct {
	group string
	body  []byte
}

// checkDelivery checks that a reader sees exactly what was delivered, and takes it out of visible.
func checkDelivery(d batch.Delivery, visible map[string]visibleObject) error {
	group := fmt.Sprintf("%s/%d", d.RunID, d.Generation)
	if d.Rows == 0 {
		return nil
	}
	manifest, ok := visible[d.Manifest]
	if !ok || manifest.group != group {
		return fmt.Errorf("the database says that %s delivered %s, but the manifest is of %q", group, d.Interval, manifest.group)
	}
	var m objects.Manifest
	if err := json.Unmarshal(manifest.body, &m); err != nil {
		return err
	}
	delete(visible, d.Manifest)
	seen := map[string]bool{}
	for _, o := range d.Objects {
		object, ok := visible[o.Key]
		if !ok || object.group != group {
			return fmt.Errorf("the database says that %s delivered %s, but the object is of %q", group, o.Key, object.group)
		}
		delete(visible, o.Key)
		for _, id := range uuidsOf(object.body) {
			if seen[id] {
				return fmt.Errorf("row %s is twice in the interval %s", id, d.Interval)
			}
			seen[id] = true
		}
	}
	if int64(len(seen)) != d.Rows || m.Rows != d.Rows {
		return fmt.Errorf("%s: the database says %d rows, the manifest %d, a reader sees %d", d.Interval, d.Rows, m.Rows, len(seen))
	}
	return nil
}

func uuidsOf(body []byte) []string {
	var ids []string
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		var row struct{ UUID string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			row.UUID = "broken: " + lines.Text()
		}
		ids = append(ids, row.UUID)
	}
	return ids
}

// finish delivers everything once more, without faults: a reader must see exactly the rows of the source.
func (s *sequence) finish(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	var made struct {
		ID string `json:"backfill_id"`
	}
	bounds := map[string]any{"start_at": s.start(0).Format(time.RFC3339), "end_at": s.start(hours).Format(time.RFC3339)}
	if err := s.call(ctx, http.MethodPost, s.export+"/backfills", bounds, &made); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	var b listed
	if err := s.call(ctx, http.MethodGet, s.export+"/backfills/"+made.ID, nil, &b); err != nil {
		return err
	}
	if b.Status != "Completed" {
		return fmt.Errorf("the last backfill is %s", b.Status)
	}
	want, err := s.rows(ctx)
	if err != nil {
		return err
	}
	got := map[int]map[string]bool{}
	for key, o := range s.visible() {
		if strings.HasSuffix(key, "_manifest.json") {
			continue
		}
		for _, id := range uuidsOf(o.body) {
			i := s.intervalOf(key)
			if got[i] == nil {
				got[i] = map[string]bool{}
			}
			got[i][id] = true
		}
	}
	for i := range hours {
		if !maps.Equal(want[i], got[i]) {
			return fmt.Errorf("interval %d: the source has %d rows %v, a reader sees %d %v", i, len(want[i]), want[i], len(got[i]), got[i])
		}
	}
	return s.call(ctx, http.MethodDelete, s.export, nil, nil)
}

// intervalOf reads the interval from the key of an object.
func (s *sequence) intervalOf(key string) int {
	name := strings.TrimPrefix(key, s.prefix()+"/")
	start, err := time.Parse("2006-01-02T15:04:05-07:00", name[:25])
	if err != nil {
		return -1
	}
	return int(start.Sub(s.first) / time.Hour)
}
