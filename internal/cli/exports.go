package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

func exportsCommand(env Env) *cobra.Command {
	cmd := noun("exports", "Create, change and look at batch exports",
		listExportsCommand(env), getExportCommand(env), createExportCommand(env), applyCommand(env), diffCommand(env),
		pauseExportCommand(env), unpauseExportCommand(env), deleteExportCommand(env), testExportCommand(env))
	cmd.Aliases = []string{"export"}
	cmd.Long = "Create, change and look at batch exports.\n\nWherever EXPORT is asked for, its id or its name will do, if no other export has the name."
	return cmd
}

func listExportsCommand(env Env) *cobra.Command {
	var limit int
	var failing bool
	cmd := command(env, &cobra.Command{
		Use: "list [flags]", Short: "List the project's exports, newest first", Aliases: []string{"ls"},
		Example: "  tranche exports list\n  tranche exports list --failing\n  tranche exports list -o json | jq -r '.[].id'",
	}, func(s *session, _ []string) error { return listExports(s, limit, failing) })
	cmd.Flags().IntVar(&limit, "limit", 0, "show at most so many; 0 = all")
	cmd.Flags().BoolVar(&failing, "failing", false, "only those whose newest run that is over did not complete")
	return cmd
}

func listExports(s *session, limit int, failing bool) error {
	var exports []client.Body[client.Export]
	for e, err := range s.Exports(s.ctx) {
		if err != nil {
			return err
		}
		if failing && !isFailing(e.Value) {
			continue
		}
		if exports = append(exports, e); len(exports) == limit {
			break
		}
	}
	if done, err := s.machine(raws(exports)); done {
		return err
	}
	if len(exports) == 0 {
		s.say("No exports in project %d.", s.target.project)
		return nil
	}
	t := newTable("NAME", "TO", "EVERY", "STATE", "LAST RUN", ">ROWS", "ID")
	for _, e := range exports {
		last, rows := lastRun(e.Value, s.env.Now())
		t.add(e.Value.Name, e.Value.Model+" → "+e.Value.Destination.Type, every(e.Value.Interval), stateOf(e.Value), last, rows, e.Value.ID)
	}
	return t.write(s.out, s.style)
}

// isFailing says whether the newest run that is over did not complete. A run that was cancelled is no failure.
func isFailing(e client.Export) bool {
	for _, r := range e.LatestRuns {
		if r.Status.Final() && r.Status != batch.RunCancelled {
			return r.Status != batch.RunCompleted
		}
	}
	return false
}

func every(interval string) string {
	if len(interval) > 6 && interval[:6] == "every " {
		return interval[6:]
	}
	return interval
}

func stateOf(e client.Export) cell {
	if e.Paused {
		return cell{"paused", busy}
	}
	return cell{"active", neutral}
}

// lastRun tells how an export's newest run stands, and its rows.
func lastRun(e client.Export, now time.Time) (cell, string) {
	if len(e.LatestRuns) == 0 {
		return cell{"none yet", faint}, none
	}
	r := e.LatestRuns[0]
	at := r.CreatedAt
	if r.FinishedAt != nil {
		at = *r.FinishedAt
	}
	return cell{string(r.Status) + " " + age(now, at), toneOf(string(r.Status))}, countOf(r.RecordsCompleted)
}

func getExportCommand(env Env) *cobra.Command {
	var asDefinition bool
	cmd := command(env, &cobra.Command{
		Use: "get EXPORT [flags]", Short: "Show an export and its newest runs", Args: exactly(1),
		Example: "  tranche exports get 'events by the hour'\n  tranche exports get 'events by the hour' --definition > events.yaml",
	}, func(s *session, args []string) error { return getExport(s, args[0], asDefinition) })
	cmd.Flags().BoolVar(&asDefinition, "definition", false, "print the YAML that \"exports apply\" takes; secrets become ${VARIABLES}")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func getExport(s *session, name string, asDefinition bool) error {
	e, err := s.export(name)
	if err != nil {
		return err
	}
	if asDefinition {
		return printDefinition(s, e)
	}
	if done, err := s.machine(e.Raw); done {
		return err
	}
	return showExport(s, e.Value)
}

func showExport(s *session, e client.Export) error {
	zone := s.zoneFor(e)
	var f facts
	f.add("Name", e.Name)
	f.add("Id", e.ID)
	f.add("Exports", e.Model+" → "+e.Destination.Type)
	calendar := e.Interval
	if c, err := calendarOf(e); err == nil {
		calendar = c.String()
	}
	f.add("Every", calendar)
	state := stateOf(e)
	if e.Paused && e.LastPausedAt != nil {
		state.text += " since " + instant(*e.LastPausedAt, zone)
	}
	f.add("State", state)
	if e.StartAt != nil || e.EndAt != nil {
		f.add("Scheduled", instantOf(e.StartAt, zone)+" – "+instantOf(e.EndAt, zone))
	}
	f.add("Created", instant(e.CreatedAt, zone))
	f.add("Changed", instant(e.LastUpdatedAt, zone))
	for _, name := range sortedKeys(e.Destination.Config) {
		if value := e.Destination.Config[name]; value != nil {
			f.add("  "+name, shown(value))
		}
	}
	f.add("Times in", zoneName(zone, s.env.Now()))
	if err := f.write(s.out, s.style); err != nil || len(e.LatestRuns) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	return runTable(s, e.LatestRuns, zone)
}

func pauseExportCommand(env Env) *cobra.Command {
	cmd := command(env, &cobra.Command{
		Use: "pause EXPORT [flags]", Short: "Stop an export's schedule; runs and backfills under way go on", Args: exactly(1),
		Example: "  tranche exports pause 'events by the hour'",
	}, func(s *session, args []string) error {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		body, err := s.PauseExport(s.ctx, e.Value.ID)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		if e.Value.Paused {
			s.say("%q was paused already.", e.Value.Name)
			return nil
		}
		s.say("%q is paused. Runs and backfills under way go on.", e.Value.Name)
		return nil
	})
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func unpauseExportCommand(env Env) *cobra.Command {
	var backfill bool
	cmd := command(env, &cobra.Command{
		Use: "unpause EXPORT [flags]", Short: "Resume an export's schedule", Args: exactly(1),
		Example: "  tranche exports unpause 'events by the hour' --backfill",
	}, func(s *session, args []string) error {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		body, err := s.UnpauseExport(s.ctx, e.Value.ID, backfill)
		if err != nil {
			return err
		}
		if done, err := s.machine(body.Raw); done {
			return err
		}
		switch {
		case !e.Value.Paused:
			s.say("%q was not paused.", e.Value.Name)
		case backfill:
			s.say("%q is active again, and what was missed is backfilled. See it with: tranche backfills list %s", e.Value.Name, quoted(e.Value.Name))
		default:
			s.say("%q is active again. What fell due while it was paused was not delivered. To deliver it: tranche coverage fill %s --include-paused",
				e.Value.Name, quoted(e.Value.Name))
		}
		return nil
	})
	cmd.Flags().BoolVar(&backfill, "backfill", false, "deliver what fell due while it was paused")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func deleteExportCommand(env Env) *cobra.Command {
	var yes bool
	cmd := command(env, &cobra.Command{
		Use: "delete EXPORT [flags]", Short: "Delete an export and cancel what it does; what it delivered stays", Args: exactly(1),
		Aliases: []string{"rm"}, Example: "  tranche exports delete 'events by the hour' --yes",
	}, func(s *session, args []string) error {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		if err := s.confirm(yes, fmt.Sprintf("Delete %q (%s) at %s, and cancel its runs and backfills?", line(e.Value.Name), e.Value.ID, s.target.url)); err != nil {
			return err
		}
		if err := s.DeleteExport(s.ctx, e.Value.ID, e.ETag); err != nil {
			return err
		}
		if s.format == tables {
			s.say("Deleted %q. What it delivered is still there.", e.Value.Name)
		}
		return nil
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}
