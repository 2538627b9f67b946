package main

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A serving is serve at work, with a handler whose requests wait.
type serving struct {
	url      string
	stop     context.CancelFunc
	returned chan error
	begun    chan struct{} // receives when a request waits
	release  chan struct{}
}

func startServing(t *testing.T, patience time.Duration) *serving {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s := &serving{returned: make(chan error, 1), begun: make(chan struct{}, 1), release: make(chan struct{})}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		s.begun <- struct{}{}
		select {
		case <-s.release:
		case <-r.Context().Done():
		}
	})
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	t.Cleanup(s.stop)
	go func() { s.returned <- serve(ctx, zap.New(core), "127.0.0.1:0", handler, patience) }()
	require.Eventually(t, func() bool { return logs.FilterMessage("Serving.").Len() == 1 }, time.Minute, time.Millisecond)
	s.url = "http://" + logs.All()[0].ContextMap()["address"].(string)
	return s
}

// get asks for a path and returns the status; 0 = the request was cut off.
func get(client *http.Client, url string) int {
	response, err := client.Get(url)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0
	}
	return response.StatusCode
}

func TestShutdownLetsRequestsFinishAndLeavesNoGoroutine(t *testing.T) { //nolint:paralleltest // goroutines of others would count
	for name, c := range map[string]struct {
		patience time.Duration
		status   int
	}{
		"a request that ends":       {time.Minute, http.StatusOK},
		"a request that never ends": {10 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			client := &http.Client{Transport: &http.Transport{}}
			s := startServing(t, c.patience)
			require.Equal(t, http.StatusOK, get(client, s.url+"/quick"), "its connection stays open")
			status := make(chan int, 1)
			go func() { status <- get(client, s.url+"/slow") }()
			<-s.begun
			s.stop()
			if c.status == http.StatusOK {
				require.Eventually(t, func() bool {
					return get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, s.url+"/quick") == 0
				},
					time.Minute, time.Millisecond, "nobody new is let in")
				close(s.release)
			}
			err := <-s.returned
			require.Equal(t, c.status, <-status)
			if c.status == http.StatusOK {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			client.CloseIdleConnections()
			goleak.VerifyNone(t, before)
		})
	}
}
