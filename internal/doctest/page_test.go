package doctest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
)

const example = "# The `first` of [two](b.md)\n\nA [link](c.md#d \"title\"), `a [span](no.md)`, ``two ` ticks`` and ![image](e.png).\n\n" +
	"```sh run\n# no heading\n[no](link.md)\n\n`no span`\n```\n\n## Same\n## Same\nAn `odd tick, then a\n`line` that\nwraps `over a\nline`.\n\n~~~\n```\n~~~\n"

func TestParse(t *testing.T) {
	t.Parallel()
	p := doctest.Parse("a.md", example)
	require.Equal(t, []doctest.Heading{
		{1, "The `first` of [two](b.md)", "the-first-of-two"}, {12, "Same", "same"}, {13, "Same", "same-1"},
	}, p.Headings)
	require.Equal(t, []doctest.Link{{1, "b.md"}, {3, "c.md#d"}, {3, "e.png"}}, p.Links)
	require.Equal(t, []doctest.Block{
		{6, "sh run", "# no heading\n[no](link.md)\n\n`no span`\n"}, {20, "", "```\n"},
	}, p.Blocks)
	require.Equal(t, []doctest.Span{
		{1, "first"}, {3, "a [span](no.md)"}, {3, "two ` ticks"}, {14, "odd tick, then a"}, {15, "that wraps"},
	}, p.Spans[:5], "a tick that is not closed takes the next one, as renderers do")
	require.True(t, p.Blocks[0].Marked("run"))
	require.False(t, p.Blocks[0].Marked("sh"))
	require.Equal(t, "sh", p.Blocks[0].Language())
}

func TestRow(t *testing.T) {
	t.Parallel()
	require.Equal(t, "| a | b \\| c |\n", doctest.Row("a", "b | c"))
}
