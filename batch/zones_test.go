package batch_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// The years that the properties of calendars are checked for.
var (
	firstInstant = time.Date(1880, 1, 1, 0, 0, 0, 0, time.UTC)
	lastInstant  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// A zone is an IANA zone with all its clock changes between firstInstant and lastInstant.
type zone struct {
	location *time.Location
	segments []segment
}

// A segment is a time in which a zone's clocks have one offset. It is half-open; the first has no start, the last no end.
type segment struct {
	start, end time.Time
	offset     time.Duration
}

// contains says whether the instant u lies in the segment.
func (s segment) contains(u time.Time) bool {
	return (s.start.IsZero() || !u.Before(s.start)) && (s.end.IsZero() || u.Before(s.end))
}

// instantOf is the rule for local times, by trying every segment of the zone: the first instant whose local time is
// wall, given as if it were UTC, or, if there is none, what the clocks before the change would have said.
func (z zone) instantOf(wall time.Time) time.Time {
	for _, s := range z.segments {
		if u := wall.Add(-s.offset); s.contains(u) {
			return u
		}
	}
	for i, s := range z.segments[1:] {
		before := z.segments[i]
		if wall.Add(-before.offset).Before(s.start) || !wall.Add(-s.offset).Before(s.start) {
			continue
		}
		return wall.Add(-before.offset)
	}
	return time.Time{}
}

// TestMain makes the tests use the zones of Go's distribution, which are those that the binary carries, and not the
// machine's. Without them the machine's must do.
func TestMain(m *testing.M) {
	if archive, err := zoneArchive(); err == nil {
		if err := os.Setenv("ZONEINFO", archive); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// zoneArchive returns the path of the zones in Go's distribution.
func zoneArchive() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip")
	_, err = os.Stat(path)
	return path, err
}

// zones returns every IANA zone that Go's distribution knows; aliases count once.
func zones(t *testing.T) []zone {
	t.Helper()
	var zones []zone
	seen := map[string]bool{}
	for _, name := range zoneNames(t) {
		location, err := batch.LoadLocation(name)
		require.NoError(t, err, name)
		z := zone{location: location, segments: segmentsOf(location)}
		var key strings.Builder
		for _, s := range z.segments {
			key.WriteString(s.start.Format(time.RFC3339) + s.offset.String() + " ")
		}
		if !seen[key.String()] {
			seen[key.String()] = true
			zones = append(zones, z)
		}
	}
	require.Greater(t, len(zones), 300)
	return zones
}

// segmentsOf walks over the zone's changes. A change that keeps the offset, as of a name, is none.
func segmentsOf(location *time.Location) []segment {
	var segments []segment
	for at := firstInstant.In(location); ; {
		_, seconds := at.Zone()
		_, end := at.ZoneBounds()
		if !end.IsZero() && !end.After(at) {
			end = at.AddDate(0, 0, 1) // ZoneBounds stands still at the end of a leap year
		}
		offset := time.Duration(seconds) * time.Second
		last := len(segments) - 1
		switch {
		case last >= 0 && segments[last].offset == offset:
			segments[last].end = end
		case last >= 0:
			segments = append(segments, segment{start: at, end: end, offset: offset})
		default:
			segments = append(segments, segment{end: end, offset: offset})
		}
		if end.IsZero() || end.After(lastInstant) {
			segments[len(segments)-1].end = time.Time{}
			return segments
		}
		at = end
	}
}

// zoneNames lists the zones of Go's distribution, or the machine's where Go came without.
func zoneNames(t *testing.T) []string {
	t.Helper()
	tree := os.DirFS("/usr/share/zoneinfo")
	if path, err := zoneArchive(); err == nil {
		archive, err := zip.OpenReader(path)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, archive.Close()) })
		tree = archive
	}
	var names []string
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if isZone(t, tree, path) {
			names = append(names, path)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(names), 400)
	return names
}

// isZone says whether the file holds a zone with a name for people, not an index or one of the machine's own.
func isZone(t *testing.T, tree fs.FS, path string) bool {
	t.Helper()
	if first, _, _ := strings.Cut(path, "/"); first == "right" || first == "posix" || strings.ToLower(first) == first {
		return false
	}
	content, err := fs.ReadFile(tree, path)
	require.NoError(t, err, path)
	return strings.HasPrefix(string(content), "TZif")
}
