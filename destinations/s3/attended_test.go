package s3_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/internal/nettest"
)

// attended is within what a person waits for the answer of a connection test.
const attended = 8 * time.Second

// testAt runs the first step of a connection test against an endpoint, as somebody does who waits for it.
func testAt(t *testing.T, endpoint string) error {
	t.Helper()
	plugin := s3.Plugin(s3.Server{})
	config, err := plugin.Parse(with(settings(fakeBucket(endpoint)), map[string]any{"endpoint_url": endpoint}), nil)
	require.NoError(t, err)
	d, err := plugin.OpenFor(t.Context(), destinations.Owner{TeamID: 1, Attended: true}, config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d.Checks()[0].Run(t.Context())
}

func TestAConnectionTestSaysWithinSecondsWhyNothingAnswers(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		endpoint string
		code     batch.Code
		message  string
	}{
		"refused":                 {"http://" + nettest.Refusing(t), batch.CodeUnavailable, "its endpoint refuses connections"},
		"no such host":            {"http://no-such-host.invalid", batch.CodeConfig, "the host of its endpoint does not exist"},
		"a firewall":              {"http://" + nettest.Unanswering(t), batch.CodeTimeout, "it does not answer in time"},
		"silence":                 {"http://" + nettest.Silent(t), batch.CodeTimeout, "it does not answer in time"},
		"TLS where there is none": {strings.Replace(plain.URL, "http:", "https:", 1), batch.CodeConfig, "its endpoint does not speak TLS"},
		"a certificate of nobody": {secure.URL, batch.CodeConfig, "the certificate of its endpoint is signed by an authority that this server does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := testAt(t, c.endpoint)
			require.Equal(t, c.code, batch.CodeOf(err), "%v", err)
			require.Contains(t, batch.MessageOf(err), c.message)
			require.Less(t, time.Since(began), attended)
		})
	}
}

// A store that answers is asked once more: it throttles every now and then.
func TestAConnectionTestAsksOnceMoreWhereAStoreIsBusy(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(busy.Close)
	err := testAt(t, busy.URL)
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "%v", err)
	require.EqualValues(t, 2, asked.Load())
}
