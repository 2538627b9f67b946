package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/dev/temporal"
	"tranche/workflows"
)

// TestTwoInstallationsInOneNamespaceLeaveEachOthersSchedulesAlone restores one of the two from a backup, so that it has a
// schedule of its own to remove, and keeps that of the other.
func TestTwoInstallationsInOneNamespaceLeaveEachOthersSchedulesAlone(t *testing.T) {
	t.Parallel()
	address := temporal.StartForTest(t, workflows.SearchAttributes()).HostPort()
	one, two := deployOn(t, address, nil), deployOn(t, address, nil)
	stop := one.both(one.start())
	theirs := one.create(fileExport("theirs", "hour", "theirs"))
	stop()

	stop = two.both(two.start())
	two.create(fileExport("kept", "hour", "kept"))
	states, text, _ := two.examined()
	require.Equal(t, "problem", states["schedules"])
	require.Contains(t, text, "1 of 2 are of exports that the database does not know, and another installation has put them")
	stop()
	backup := two.copyOfDatabase()
	stop = two.both(two.api())
	lost := two.create(fileExport("lost", "hour", "lost"))
	stop()

	two.environment = append(two.environment, "TRANCHE_DATABASE_URL="+backup)
	worker, _ := two.serve("worker")
	until(t, workPatience, "our schedule of an unknown export to be removed", func() bool { return !two.scheduled(lost) })
	require.True(t, one.scheduled(theirs), "that of the other installation is none of our business")
	code, _ := worker.terminate()
	require.Zero(t, code, "%s", worker.stderr.String())
	require.Contains(t, worker.stderr.String(), "schedules that are not ours")
}
