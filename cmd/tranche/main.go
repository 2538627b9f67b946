// Command tranche is the service: an API that records batch exports, and workers that deliver them.
//
// Everything is configured by environment variables that begin with TRANCHE_, or by a YAML file; "tranche config" lists them.
package main

import (
	"cmp"
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
	getenv = withConfigFlag(root, withStandardNames(getenv))
	addGroup(root, "Commands of the service:",
		apiCommand(getenv), workerCommand(getenv), migrateCommand(getenv), keysCommand(getenv), configCommand(getenv), healthCommand(getenv),
		secretsCommand(getenv), deploymentCommand(getenv), doctorCommand(getenv))
	addGroup(root, "Commands that talk to the API:", clientCommands(getenv)...)
	root.AddCommand(versionCommand())
	return root.ExecuteContext(ctx)
}

// addGroup adds commands that stand together in the help. Topics, which cannot be run, have a place of their own there.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		if c.Runnable() || c.HasSubCommands() {
			c.GroupID = title
		}
	}
	root.AddCommand(commands...)
}

// withConfigFlag adds --config, which goes before the environment.
func withConfigFlag(root *cobra.Command, getenv func(string) string) func(string) string {
	var path string
	root.PersistentFlags().StringVar(&path, "config", "", "YAML file with settings; "+settingsFile+" in the environment")
	return func(name string) string {
		if name == settingsFile && path != "" {
			return path
		}
		return getenv(name)
	}
}

// withStandardNames lets the names that OpenTelemetry gives its settings stand for ours.
func withStandardNames(getenv func(string) string) func(string) string {
	return func(name string) string {
		v := getenv(name)
		if name == "TRANCHE_TRACES_ENDPOINT" {
			v = cmp.Or(v, getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
		}
		return v
	}
}
