package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"tranche/internal/client"
)

const (
	// completionPatience is how long a shell waits for its user's next key.
	completionPatience = 2 * time.Second
	completionLimit    = 200
)

type completer = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective)

// completing makes a completer of what a session finds. A server that does not answer has nothing to offer.
func completing(env Env, find func(s *session, args []string) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		var c common
		c.format = string(tables)
		c.profile, _ = cmd.Flags().GetString("profile") // every command has these flags
		c.url, _ = cmd.Flags().GetString("url")
		c.project, _ = cmd.Flags().GetInt64("project")
		s, err := open(ctx, env, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s.Retries = client.Retries{Attempts: 1}
		return find(s, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeExports offers the names of exports as the first argument.
func completeExports(env Env) completer {
	return completing(env, func(s *session, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return exportNames(s)
	})
}

func exportNames(s *session) []string {
	exports, _, _ := client.Collect(s.Exports(s.ctx), completionLimit) // what was found before an error is offered
	var names []string
	for _, e := range exports {
		names = append(names, cobra.CompletionWithDesc(line(e.Value.Name), e.Value.Model+" → "+e.Value.Destination.Type+", "+e.Value.Interval))
	}
	return names
}

// completeRuns offers exports, and then the newest runs of the one that was named.
func completeRuns(env Env) completer {
	return completing(env, func(s *session, args []string) []string {
		e, names, done := named(s, args)
		if done {
			return names
		}
		runs, _, _ := client.Collect(s.Runs(s.ctx, e.ID, client.RunQuery{}), completionLimit) // as above
		names = []string{cobra.CompletionWithDesc(latest, "the newest run")}
		for _, r := range values(runs) {
			names = append(names, cobra.CompletionWithDesc(r.ID.String(), interval(r.DataIntervalStart, r.DataIntervalEnd, s.zoneFor(e))+", "+string(r.Status)))
		}
		return names
	})
}

// completeBackfills offers exports, and then the newest backfills of the one that was named.
func completeBackfills(env Env) completer {
	return completing(env, func(s *session, args []string) []string {
		e, names, done := named(s, args)
		if done {
			return names
		}
		backfills, _, _ := client.Collect(s.Backfills(s.ctx, e.ID), completionLimit) // as above
		names = []string{cobra.CompletionWithDesc(latest, "the newest backfill")}
		for _, b := range values(backfills) {
			names = append(names, cobra.CompletionWithDesc(b.ID.String(), rangeOf(b, s.zoneFor(e))+", "+string(b.Status)))
		}
		return names
	})
}

// named finds the export that the first argument names, or offers names for it.
func named(s *session, args []string) (e client.Export, names []string, done bool) {
	if len(args) == 0 {
		return e, exportNames(s), true
	}
	if len(args) > 1 {
		return e, nil, true
	}
	body, err := s.export(args[0])
	return body.Value, nil, err != nil
}
