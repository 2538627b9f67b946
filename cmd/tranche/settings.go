package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func configCommand(getenv func(string) string) *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "List every setting: name, value, default, meaning", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tVALUE\tDEFAULT\tMEANING")
			for _, s := range settings {
				value := getenv(s.name)
				if s.secret && value != "" {
					value = "***"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.name, value, s.fallback, s.meaning)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err := readConfig(getenv)
			return err
		},
	}
}

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
			address := c.Listen
			if worker {
				address = c.MetricsListen
			}
			return checkHealth(cmd.Context(), address)
		},
	}
	cmd.Flags().BoolVar(&worker, "worker", false, "ask the worker, not the API")
	return cmd
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
		return errors.New("the process does not answer")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the process is not ready: %s", response.Status)
	}
	return nil
}
