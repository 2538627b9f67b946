package duckdb

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEveryTimeThatIsWrittenIsReadToTheMicrosecond(t *testing.T) {
	t.Parallel()
	layouts := []string{
		"2006-01-02T15:04:05.000000Z07:00", "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.000000Z07:00",
		"2006-01-02 15:04:05.999999Z07",
	}
	naive := []string{"2006-01-02T15:04:05.000000", "2006-01-02 15:04:05.999999"}
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(
			time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC).UnixMicro(),
		).Draw(t, "micros")
		hours := rapid.IntRange(-12, 12).Draw(t, "hours")
		at := time.UnixMicro(micros).In(time.FixedZone("", hours*3600))
		for _, layout := range layouts {
			got, err := parseTime(at.Format(layout))
			require.NoError(t, err)
			require.Equal(t, micros, got.UnixMicro(), at.Format(layout))
		}
		for _, layout := range naive {
			got, err := parseTime(at.UTC().Format(layout))
			require.NoError(t, err)
			require.Equal(t, micros, got.UnixMicro(), "without a zone it is UTC")
		}
	})
}

func TestWhatIsNoTimeIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "now", "2026-03-01", "12:00:00", "2026-03-01T12:00", "2026-13-01T12:00:00Z", "2026-02-29T12:00:00Z",
		"2026-03-01T24:00:00Z", "2026-03-01T12:00:60Z", "20260301T120000Z", "1772366400", "2026-03-01T12:00:00Z ",
		"12026-03-01T12:00:00Z", "0044-03-15 (BC) 12:00:00", "2026-03-01T12:00:00+25:00", "2026-03-01T12:00:00 UTC",
	} {
		_, err := parseTime(text)
		require.Error(t, err, text)
	}
}

func TestLinesAreReadWhateverTheReaderGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.StringMatching(`[^\n]{0,80}`)).Draw(t, "lines")
		text := strings.Join(want, "\n")
		if rapid.Bool().Draw(t, "ended") {
			text += "\n"
		}
		// What comes after the last line end is a line only if it is not empty.
		want = strings.Split(text, "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		lines := lineReader{from: bufio.NewReaderSize(iotest.HalfReader(strings.NewReader(text)), 16)}
		for _, w := range want {
			got, err := lines.next()
			require.NoError(t, err)
			require.Equal(t, w, string(got))
		}
		_, err := lines.next()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestALineThatBreaksOffIsNotGivenOut(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	lines := lineReader{from: bufio.NewReader(io.MultiReader(strings.NewReader("whole\nhal"), iotest.ErrReader(broken)))}
	got, err := lines.next()
	require.NoError(t, err)
	require.Equal(t, "whole", string(got))
	_, err = lines.next()
	require.ErrorIs(t, err, broken)
}

func TestNestedJSONIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := jsonValue(rapid.IntRange(0, 4).Draw(t, "depth")).Draw(t, "value")
		line := `{"a":1, "properties" : ` + value + ` ,"event":"e"}`
		require.True(t, json.Valid([]byte(line)), line)
		row := make(cells, len(eventLayout))
		err := row.read(eventLayout, []byte(line))
		require.NoError(t, err)
		require.Equal(t, value, string(row[cellProperties].text))
		require.Equal(t, "e", string(row[cellEvent].text))
		require.False(t, row[cellUUID].set)
	})
}

// jsonValue draws the text of objects, with the freedom in spaces and escapes that JSON leaves.
func jsonValue(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		space := rapid.StringMatching(`[ \t\r]{0,2}`)
		name := rapid.StringMatching(`"([a-z$ éπ😀]|\\u00[0-9a-fA-F]{2}|\\["\\/bfnrt]){0,6}"`)
		leaf := rapid.OneOf(name, rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?`),
			rapid.SampledFrom([]string{"true", "false", "null", "{}", "[]", "[ ]"}))
		var b strings.Builder
		b.WriteString("{" + space.Draw(t, "space"))
		for i := range rapid.IntRange(0, 3).Draw(t, "members") {
			if i > 0 {
				b.WriteString("," + space.Draw(t, "space"))
			}
			b.WriteString(name.Draw(t, "name") + space.Draw(t, "space") + ":" + space.Draw(t, "space"))
			if depth > 0 {
				b.WriteString("[" + jsonValue(depth-1).Draw(t, "value") + space.Draw(t, "space") + "]")
			} else {
				b.WriteString(leaf.Draw(t, "leaf"))
			}
		}
		b.WriteString(space.Draw(t, "space") + "}")
		return b.String()
	})
}
