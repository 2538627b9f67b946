package clickhouse

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"tranche/dev/clickhouse/engine"
)

const (
	headerTimeout = 10 * time.Second
	stopTimeout   = 5 * time.Second
)

// Serve opens the engine of a library on a folder and answers on the listener until ctx ends.
func Serve(ctx context.Context, listener net.Listener, library, folder string, users map[string]Profile, password string) (err error) {
	e, err := engine.Open(library, folder)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer e.Close()
	server := &http.Server{Handler: &Handler{Engine: e, Users: users, Password: password}, ReadHeaderTimeout: headerTimeout}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(stopping)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
