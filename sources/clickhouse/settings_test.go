package clickhouse_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/sources/clickhouse"
)

// A redirection could lead anywhere, and the password would go along.
func TestThePasswordFollowsNoRedirection(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("somebody else got the request") })
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, err := newSource(t, clickhouse.Options{DSN: address(server)}).Count(t.Context(), ids)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
}

// No limit of the user's profile turns a part of the rows into an answer that looks whole.
func TestLimitsAreErrorsInEachQuery(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"read_overflow_mode", "result_overflow_mode", "timeout_overflow_mode", "group_by_overflow_mode", "set_overflow_mode", "distinct_overflow_mode"} {
			if r.URL.Query().Get(name) != "throw" {
				t.Errorf("%s is %q", name, r.URL.Query().Get(name))
			}
		}
		_, _ = w.Write([]byte("7\n"))
	})
	n, err := newSource(t, clickhouse.Options{DSN: address(server) + "?max_rows_to_read=100"}).Count(t.Context(), ids)
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
}

func TestSettingsThatWouldCutRowsOff(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{"read_overflow_mode=break", "result_overflow_mode=break", "timeout_overflow_mode=break", "limit=10", "offset=10", "session_timezone=Asia/Tokyo", "param_p0=x"} {
		_, err := clickhouse.New(clickhouse.Options{DSN: "clickhouse://host?" + settings})
		require.ErrorContains(t, err, "must not set")
	}
}
