package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tranche/internal/client"
)

func testExportCommand(env Env) *cobra.Command {
	var files []string
	cmd := command(env, &cobra.Command{
		Use: "test [EXPORT] [flags]", Short: "Run all steps of the connection test of an export or of a definition", Args: atMost(1),
		Long: "Run all steps of the connection test, one by one, until one fails.\n\n" +
			"Of an export the stored settings are tested, secrets too; of definitions what they say. Nothing is created or changed.",
		Example: "  tranche exports test 'events by the hour'\n  tranche exports test -f exports.yaml",
	}, func(s *session, args []string) error {
		switch {
		case len(args) == 1 && len(files) == 0:
			return testExport(s, args[0])
		case len(args) == 0 && len(files) > 0:
			return testDefinitions(s, files)
		}
		return usagef("name an export, or definitions with -f")
	})
	filesFlag(cmd, &files)
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func testExport(s *session, name string) error {
	e, err := s.export(name)
	if err != nil {
		return err
	}
	return runSteps(s, e.Value.Name, e.Value.Destination.Type, func(step int) (client.Body[client.TestStep], error) {
		return s.TestExport(s.ctx, e.Value.ID, step)
	})
}

func testDefinitions(s *session, files []string) error {
	set, err := s.definitions(files)
	if err != nil {
		return err
	}
	failed := 0
	for _, d := range set {
		if err := d.allSet(d.fields); err != nil {
			return err
		}
		body := d.body()
		err := runSteps(s, d.name, d.kind(), func(step int) (client.Body[client.TestStep], error) {
			return s.TestDraft(s.ctx, body, step)
		})
		if own, ok := err.(*exitError); ok && own.code == ExitFailure { //nolint:errorlint // runSteps' own verdict
			failed++
		} else if err != nil {
			return err
		}
	}
	if failed > 0 {
		return exitf(ExitFailure, "the connection test of %s failed", plural(int64(failed), "definition", "definitions"))
	}
	return nil
}

// runSteps runs the steps of a connection test until one fails.
func runSteps(s *session, name, kind string, run func(step int) (client.Body[client.TestStep], error)) error {
	steps, err := s.TestSteps(s.ctx, kind)
	if err != nil {
		return missing(err, "there is no connection test for destinations of the type %s", kind)
	}
	if s.format == tables {
		fmt.Fprintf(s.out, "%s: %s\n", line(name), plural(int64(len(steps)), "step", "steps"))
	}
	var results []json.RawMessage
	var failure error
	for i, step := range steps {
		body, err := run(i)
		if err != nil {
			return err
		}
		results = append(results, body.Raw)
		if s.format == tables {
			showStep(s, body.Value)
		}
		if r := body.Value.Result; r != nil && r.Status == client.StepFailed {
			failure = exitf(ExitFailure, "the connection test of %q failed at %q", line(name), line(step.Name))
			break
		}
	}
	if _, err := s.machine(results); err != nil {
		return err
	}
	return failure
}

func showStep(s *session, step client.TestStep) {
	status, message := "?", ""
	if step.Result != nil {
		status = step.Result.Status
		if step.Result.Message != nil {
			message = ": " + *step.Result.Message
		}
	}
	fmt.Fprintf(s.out, "  %s  %s%s\n", s.style.paint(toneOf(status), fmt.Sprintf("%-7s", status)), line(step.Name), line(message))
}
