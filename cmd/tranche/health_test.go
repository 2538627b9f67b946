package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// One image and one health check serve API and worker: whoever is there is asked.
func TestTheHealthCheckAsksWhoeverIsThere(t *testing.T) {
	t.Parallel()
	answering := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())
	for name, c := range map[string]struct {
		api, worker string
		args        []string
		problem     string
	}{
		"an API":                   {answering(200), nobody, nil, ""},
		"a worker":                 {nobody, answering(200), nil, ""},
		"an API that is not ready": {answering(503), answering(200), nil, "not ready"},
		"a worker beside an API":   {answering(503), answering(200), []string{"--worker"}, ""},
		"nobody":                   {nobody, nobody, nil, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			getenv := from(map[string]string{"TRANCHE_LISTEN": c.api, "TRANCHE_METRICS_LISTEN": c.worker})
			err := run(t.Context(), append([]string{"health"}, c.args...), getenv, t.Output())
			if c.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.problem)
			}
		})
	}
}
