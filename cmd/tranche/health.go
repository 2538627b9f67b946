package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout bounds a health check from outside, as container engines run it.
const healthTimeout = 3 * time.Second

func healthCommand(getenv func(string) string) *cobra.Command {
	var worker bool
	cmd := &cobra.Command{
		Use: "health", Short: "Ask the process on this machine whether it is ready; exit 1 if not", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(getenv)
			if err != nil {
				return err
			}
			if worker {
				return checkHealth(cmd.Context(), c.MetricsListen)
			}
			return checkEitherHealth(cmd.Context(), c.Listen, c.MetricsListen)
		},
	}
	cmd.Flags().BoolVar(&worker, "worker", false, "ask the worker, where there is an API beside it")
	return cmd
}

// errNoAnswer says that nobody listens.
var errNoAnswer = errors.New("the process does not answer")

// checkEitherHealth asks whoever is there: one image and one health check serve API and worker.
func checkEitherHealth(ctx context.Context, addresses ...string) error {
	err := errNoAnswer
	for _, address := range addresses {
		if err = checkHealth(ctx, address); !errors.Is(err, errNoAnswer) {
			return err
		}
	}
	return err
}

func checkHealth(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return errNoAnswer
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the process is not ready: %s", response.Status)
	}
	return nil
}
