package storage_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// permitOf makes a run of the export and what it asks for.
func permitOf(t *testing.T, db *storage.DB, e batch.Export, host string) batch.Permit {
	t.Helper()
	r := beginRun(t, db, e, storagetest.Hour(0))
	return batch.Permit{RunID: r.ID, ExportID: e.ID, TeamID: e.TeamID, Host: host}
}

func createExportOf(t *testing.T, db *storage.DB, team int64) batch.Export {
	t.Helper()
	e := storagetest.Export()
	e.TeamID = team
	require.NoError(t, db.CreateExport(t.Context(), e))
	return e
}

// A thirdRun asks for a place after two runs of team 1's export to the host db.
type thirdRun struct {
	limits batch.Concurrency
	asks   func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit
	want   string // empty = it may work
}

func thirdRuns() map[string]thirdRun {
	return map[string]thirdRun{
		"of the export": {
			batch.Concurrency{PerExport: 2},
			func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit { return permitOf(t, db, e, "other") },
			"2 runs of this batch export work already, and the limit is 2",
		},
		"of the export, for another one": {
			batch.Concurrency{PerExport: 2},
			func(t *testing.T, db *storage.DB, _ batch.Export) batch.Permit {
				return permitOf(t, db, createExportOf(t, db, 1), "db")
			},
			"",
		},
		"of the team": {
			batch.Concurrency{PerTeam: 2},
			func(t *testing.T, db *storage.DB, _ batch.Export) batch.Permit {
				return permitOf(t, db, createExportOf(t, db, 1), "other")
			},
			"2 runs of this project work already, and the limit is 2",
		},
		"of the team, for another one": {
			batch.Concurrency{PerTeam: 2},
			func(t *testing.T, db *storage.DB, _ batch.Export) batch.Permit {
				return permitOf(t, db, createExportOf(t, db, 2), "db")
			},
			"",
		},
		"of the host": {
			batch.Concurrency{PerHost: 2},
			func(t *testing.T, db *storage.DB, _ batch.Export) batch.Permit {
				return permitOf(t, db, createExportOf(t, db, 2), "db")
			},
			"2 runs that deliver to db work already, and the limit is 2",
		},
		"of the host, for another one": {
			batch.Concurrency{PerHost: 2},
			func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit { return permitOf(t, db, e, "other") },
			"",
		},
		"of the host, for a destination without one": {
			batch.Concurrency{PerHost: 2},
			func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit { return permitOf(t, db, e, "") },
			"",
		},
		"of the team, for a backfill: the last place is for schedules": {
			batch.Concurrency{PerTeam: 3},
			func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit {
				p := permitOf(t, db, e, "")
				p.Backfill = true
				return p
			},
			"2 runs of this project work already, and the limit is 3",
		},
		"of the team, for a schedule": {
			batch.Concurrency{PerTeam: 3},
			func(t *testing.T, db *storage.DB, e batch.Export) batch.Permit { return permitOf(t, db, e, "") },
			"",
		},
	}
}

func TestEveryLimitIsMet(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		for name, tt := range thirdRuns() {
			t.Run(name, func(t *testing.T) {
				_, err := db.DeletePermits(t.Context(), -time.Hour, 100)
				require.NoError(t, err)
				e := createExportOf(t, db, 1)
				for range 2 {
					require.NoError(t, db.AcquirePermit(t.Context(), permitOf(t, db, e, "db"), tt.limits, time.Minute))
				}
				err = db.AcquirePermit(t.Context(), tt.asks(t, db, e), tt.limits, time.Minute)
				if tt.want == "" {
					require.NoError(t, err)
					return
				}
				requireCode(t, batch.CodeBusy, err)
				require.Equal(t, tt.want, batch.MessageOf(err))
			})
		}
	})
}

func TestAPlaceIsFreeWhenItsRunIsOverOrSilent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := time.Now()
		db = db.WithClock(func() time.Time { return now })
		one := batch.Concurrency{PerExport: 1}
		e := createExport(t, db)
		first, second := permitOf(t, db, e, ""), permitOf(t, db, e, "")
		first.Backfill = true // of a single place there is none to leave
		require.NoError(t, db.AcquirePermit(t.Context(), first, one, time.Minute))
		require.NoError(t, db.AcquirePermit(t.Context(), first, one, time.Minute), "its own")
		requireCode(t, batch.CodeBusy, db.AcquirePermit(t.Context(), second, one, time.Minute))
		require.NoError(t, db.ReleasePermit(t.Context(), first.RunID))
		require.NoError(t, db.ReleasePermit(t.Context(), first.RunID), "a repeat")
		require.NoError(t, db.KeepPermit(t.Context(), first.RunID, time.Minute), "there is nothing to keep")

		// A dead worker's is free after a while, and its own again when it was not dead.
		require.NoError(t, db.AcquirePermit(t.Context(), second, one, 0))
		now = now.Add(time.Second)
		require.NoError(t, db.AcquirePermit(t.Context(), first, one, 0))
		now = now.Add(time.Second)
		require.NoError(t, db.KeepPermit(t.Context(), second.RunID, time.Minute))
		requireCode(t, batch.CodeBusy, db.AcquirePermit(t.Context(), first, one, time.Minute))

		n, err := db.DeletePermits(t.Context(), time.Hour, 100)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = db.DeletePermits(t.Context(), 0, 100)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

func TestNoMoreThanTheLimitGetPermitsAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		limits := batch.Concurrency{PerExport: 2, PerTeam: 3, PerHost: 4}
		var asked []batch.Permit
		for n := range 24 {
			asked = append(asked, permitOf(t, db, createExportOf(t, db, int64(1+n%3)), []string{"a", "b"}[n/12]))
		}
		var admitted sync.Map
		var group sync.WaitGroup
		for _, p := range asked {
			group.Go(func() {
				err := db.AcquirePermit(t.Context(), p, limits, time.Minute)
				if err == nil {
					admitted.Store(p.RunID, p)
				} else if batch.CodeOf(err) != batch.CodeBusy {
					t.Error(err)
				}
			})
		}
		group.Wait()
		teams, hosts, all := map[int64]int{}, map[string]int{}, 0
		admitted.Range(func(_, value any) bool {
			p, _ := value.(batch.Permit)
			teams[p.TeamID]++
			hosts[p.Host]++
			all++
			return true
		})
		for team, n := range teams {
			require.LessOrEqual(t, n, limits.PerTeam, "team %d", team)
		}
		for host, n := range hosts {
			require.LessOrEqual(t, n, limits.PerHost, "host %s", host)
		}
		require.Greater(t, all, 4, "the limits leave more places")
	})
}

// Runs that come and go get their turn: nobody holds a place while it waits for another.
func TestWaitingForPermitsNeverEndsInACircle(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		limits := batch.Concurrency{PerExport: 1, PerTeam: 1, PerHost: 1}
		var working, done atomic.Int32
		var group sync.WaitGroup
		for n := range 12 {
			e := createExportOf(t, db, int64(1+n%3))
			p := permitOf(t, db, e, []string{"a", "b"}[n%2])
			group.Go(func() {
				for t.Context().Err() == nil {
					err := db.AcquirePermit(t.Context(), p, limits, time.Minute)
					if err != nil && batch.CodeOf(err) == batch.CodeBusy {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					if working.Add(1) > 2 { // as many as there are hosts
						t.Error("too many at once")
					}
					working.Add(-1)
					if err := db.ReleasePermit(t.Context(), p.RunID); err != nil {
						t.Error(err)
					}
					done.Add(1)
					return
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 12, done.Load())
	})
}
