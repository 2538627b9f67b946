package batch_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/doctest"
)

func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	for code := range batch.Codes() {
		e := batch.Explain(code)
		if code != batch.CodeInternal {
			require.NotEqual(t, batch.Explain(batch.CodeInternal), e, "%s needs an entry in explanations, and then make docs", code)
		}
		require.Regexp(t, `^[A-Z].*\.$`, e.Meaning, code)
		require.Regexp(t, `^[A-Z].*\.$`, e.Remedy, code)
	}
}

// The table of docs/errors.md is written by "make docs".
func TestThePageOfErrorsIsCurrent(t *testing.T) {
	t.Parallel()
	faults := batch.Codes()
	codes := slices.SortedFunc(maps.Keys(faults), func(a, b batch.Code) int {
		return cmp.Or(cmp.Compare(faults[a], faults[b]), cmp.Compare(a, b))
	})
	text := doctest.Table("code", "who must act", "tried again", "meaning", "what to do")
	for _, code := range codes {
		again, e := "no", batch.Explain(code)
		if code.Retryable() {
			again = "yes"
		}
		text += doctest.Row("`"+string(code)+"`", faults[code].String(), again, e.Meaning, e.Remedy)
	}
	doctest.Generated(t, "docs/errors.md", "codes", text)
}
