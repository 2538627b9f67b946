package temporal

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

const (
	// uiTimeout bounds the wait for the UI's first answer; it takes milliseconds.
	uiTimeout = 10 * time.Second
	uiPoll    = 5 * time.Millisecond
)

// webUI is a running Web UI.
type webUI struct {
	url    string
	server *uiserver.Server
	done   chan struct{} // closed when it serves no more
}

// startUI returns when the UI answers.
func startUI(ctx context.Context, address *net.TCPAddr, temporalAddress string) (*webUI, error) {
	host := address.IP.String()
	if address.IP.To4() == nil {
		host = "[" + host + "]" // the UI joins host and port with a plain colon
	}
	ui := &webUI{
		url:  "http://" + address.String(),
		done: make(chan struct{}),
		server: uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
			Host:                host,
			Port:                address.Port,
			EnableUI:            true,
			TemporalGRPCAddress: temporalAddress,
			DefaultNamespace:    Namespace,
			HideLogs:            true,
			DisableNewsFetch:    true, // nothing leaves the machine
			CORS:                uiconfig.CORS{CookieInsecure: true},
		})),
	}
	go func() {
		defer close(ui.done)
		_ = ui.server.Start() // nil, always: its failures end the process
	}()
	if err := ui.awaitReady(ctx); err != nil {
		ui.stop()
		return nil, err
	}
	return ui, nil
}

// awaitReady asks for the UI's health until it answers.
func (ui *webUI) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, uiTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(uiPoll)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui.url+"/healthz", nil)
		if err != nil {
			return fmt.Errorf("ask the Web UI for its health: %w", err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close() // the status is all that counts
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the Web UI at %s: %w", ui.url, ctx.Err())
		case <-poll.C:
		}
	}
}

// stop returns when the UI has ended.
func (ui *webUI) stop() {
	ui.server.Stop()
	<-ui.done
}
