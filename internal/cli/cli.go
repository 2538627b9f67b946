// Package cli holds the commands with which people and scripts use the API from a terminal. It knows the API through
// internal/client and nothing behind it.
package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"
)

// An Env is what a command has of the world.
type Env struct {
	Getenv func(string) string
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Now    func() time.Time
	// Zone is the local time zone.
	Zone *time.Location
	// Width is that of the terminal behind a reader or writer; zero = it is none.
	Width func(stream any) int
	// Version is what the client calls itself by.
	Version string
	// Poll is how often a thing that is watched is looked at; zero = every second.
	Poll time.Duration
}

// Commands returns the commands, to be added to a root.
func Commands(env Env) []*cobra.Command {
	if env.Poll == 0 {
		env.Poll = time.Second
	}
	nouns := []*cobra.Command{
		exportsCommand(env), runsCommand(env), backfillsCommand(env), coverageCommand(env), logsCommand(env), notificationsCommand(env),
		activityCommand(env), profilesCommand(env),
	}
	return append(nouns, manCommand(), exitCodesTopic(), environmentTopic(), definitionsTopic())
}

// A noun groups commands; without one of them it shows its help.
func noun(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

// unknownCommand refuses a command, and names those that may be meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	text := ""
	for i, meant := range cmd.SuggestionsFor(name) {
		if i == 0 {
			text = "; is it " + meant
		} else {
			text += " or " + meant
		}
	}
	if text != "" {
		text += "?"
	}
	return usagef("%q is no command of %q%s", name, cmd.CommandPath(), text)
}

// exactly and atMost check the number of arguments, and say how the command is used.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s needed, not %d: %s", plural(int64(n), "argument is", "arguments are"), len(args), cmd.UseLine())
		}
		return nil
	}
}

func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%q is one argument too many: %s", args[n], cmd.UseLine())
		}
		return nil
	}
}
