package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tranche/internal/cli"
)

// clientCommands are the commands that talk to an API.
func clientCommands(getenv func(string) string) []*cobra.Command {
	return cli.Commands(cli.Env{
		Getenv: getenv, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: time.Now, Zone: time.Local,
		Width: terminalWidth, Version: version,
	})
}

// terminalWidth is the width of the terminal behind a stream; zero = it is none.
func terminalWidth(stream any) int {
	file, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return 80 // it does not say
	}
	return width
}
