// Command tranche is the service: an API that records batch exports, and workers that deliver them.
//
// Everything is configured by environment variables that begin with TRANCHE_; "tranche config" lists them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tranche/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tranche:", cli.Explain(err))
		os.Exit(cli.ExitCode(err))
	}
}

// run executes one command line.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	root := &cobra.Command{
		Use:           "tranche",
		Short:         "Durable batch exports: one visible, verified copy of every interval",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.AddCommand(apiCommand(getenv), workerCommand(getenv), migrateCommand(getenv), keysCommand(getenv),
		configCommand(getenv), healthCommand(getenv))
	root.AddCommand(clientCommands(getenv)...)
	return root.ExecuteContext(ctx)
}
