package activities

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestAScrubberHidesSecretsAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	hide := newScrubber([]string{"", "key", "key/with more&", "geheim"})
	plain := batch.Errorf(batch.CodePermission, errors.New("denied"), "no right")
	require.Same(t, plain, hide.from(plain))
	require.NoError(t, hide.from(nil))

	told := &batch.Error{
		Code: batch.CodeThrottled, Message: "refused with geheim", RetryAfter: time.Minute,
		Err: fmt.Errorf("GET /?q=key%%2Fwith+more%%26 or key/with more&"),
	}
	got := hide.from(fmt.Errorf("stage: %w", told))
	known, ok := errors.AsType[*batch.Error](got)
	require.True(t, ok)
	require.Equal(t, "refused with ***", known.Message)
	require.Equal(t, batch.CodeThrottled, known.Code)
	require.Equal(t, time.Minute, known.RetryAfter)
	require.Contains(t, got.Error(), "GET /?q=*** or ***")
	require.NotContains(t, got.Error(), "geheim")

	require.EqualError(t, hide.from(errors.New("a geheim")), "a ***")
	require.Equal(t, batch.CodeInternal, batch.CodeOf(hide.from(errors.New("a geheim"))))
	require.EqualError(t, newScrubber(nil).from(errors.New("a geheim")), "a geheim")
}
