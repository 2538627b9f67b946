package cli

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"tranche/internal/client"
)

func createExportCommand(env Env) *cobra.Command {
	var files []string
	cmd := command(env, &cobra.Command{
		Use: "create -f FILE [flags]", Short: "Create exports from definitions",
		Long: "Create exports from definitions. An export that has the name of another one is refused: change those with \"exports apply\".\n\n" +
			"\"tranche help definitions\" says what definitions look like.",
		Example: "  tranche exports create -f events.yaml\n  jq '.name = \"a copy\"' export.json | tranche exports create -f -",
	}, func(s *session, _ []string) error { return createExports(s, files) })
	filesFlag(cmd, &files)
	return cmd
}

func createExports(s *session, files []string) error {
	definitions, err := s.definitions(files)
	if err != nil {
		return err
	}
	plan, err := s.plan(definitions, undefined{}, toApply)
	if err != nil {
		return err
	}
	for _, next := range plan.steps {
		if next.Action != create {
			return exitf(ExitRefused, "%s: there is an export named %q: %s", next.definition.origin, next.Name, next.ID)
		}
	}
	var made []client.Body[client.Export]
	for _, next := range plan.steps {
		body, err := s.CreateExport(s.ctx, next.definition.body())
		if err != nil {
			return failed(err, next)
		}
		made = append(made, body)
		if s.format == tables {
			s.say("Created %q: %s", body.Value.Name, body.Value.ID)
		}
	}
	if len(made) == 1 {
		_, err = s.machine(made[0].Raw)
		return err
	}
	_, err = s.machine(raws(made))
	return err
}

// applyOptions are the flags of apply.
type applyOptions struct {
	files                    []string
	others                   undefined
	yes, dryRun, keepSecrets bool
}

func applyCommand(env Env) *cobra.Command {
	var o applyOptions
	cmd := command(env, &cobra.Command{
		Use: "apply -f FILE [flags]", Short: "Make exports as they are defined: show a plan, ask, and do it",
		Long: "Make exports as they are defined: create those that are missing, change those that differ, leave the others alone.\n\n" +
			"A plan is shown first. On a terminal it is done when you say yes; elsewhere with --yes. Exports that nobody defines are left\n" +
			"alone, but for those that --prune names, or all of them with --whole-project. Whoever changes an export between plan and deed is not overwritten: that is refused.\n\n" +
			"\"tranche help definitions\" says what definitions look like.",
		Example: "  tranche exports apply -f exports/\n  tranche exports apply -f exports/ --yes --prune 'events by the day'\n" +
			"  tranche exports apply -f exports/ --whole-project",
	}, func(s *session, _ []string) error { return applyDefinitions(s, o) })
	filesFlag(cmd, &o.files)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.others.names, "prune", nil, "delete this `EXPORT`, which must not be defined; repeatable")
	flags.BoolVar(&o.others.all, "whole-project", false, "the definitions are all exports of the project: delete every other one")
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the plan and do nothing")
	flags.BoolVar(&o.keepSecrets, "keep-secrets", false, "leave the secrets of exports that exist as they are; their variables need not be set")
	return cmd
}

func applyDefinitions(s *session, o applyOptions) error {
	definitions, err := s.definitions(o.files)
	if err != nil {
		return err
	}
	purpose := toApply
	if o.keepSecrets {
		purpose = toKeepSecrets
	}
	plan, err := s.plan(definitions, o.others, purpose)
	if err != nil {
		return err
	}
	if s.format == tables {
		fmt.Fprintf(s.out, "%s, project %d\n", s.target.url, s.target.project)
		plan.show(s)
	}
	if o.dryRun {
		_, err := s.machine(plan.steps)
		return err
	}
	if question := plan.question(); question != "" {
		if err := s.confirm(o.yes, question); err != nil {
			return err
		}
	}
	return s.perform(plan)
}

// question asks for leave to do the plan; empty = it does nothing.
func (p *plan) question() string {
	var words []string
	for _, c := range []struct {
		n    int64
		text string
	}{{p.count(create), "create %s"}, {p.count(update), "change %s"}, {p.count(remove), "DELETE %s"}, {p.sendsSecrets(), "send the secrets of %s"}} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf(c.text, plural(c.n, "export", "exports")))
		}
	}
	if len(words) == 0 {
		return ""
	}
	text := strings.Join(words, ", ")
	return strings.ToUpper(text[:1]) + text[1:] + "?"
}

// perform does the plan, step by step, and ends at the first that fails.
func (s *session) perform(p *plan) error {
	var failure error
	for _, next := range p.steps {
		if next.Result, failure = s.performStep(next); failure != nil {
			next.Result = "failed"
			failure = failed(failure, next)
			break
		}
		if s.format == tables && (next.Action != unchanged || len(next.Secrets) > 0) {
			s.say("%s: %s", line(next.Name), next.Result)
		}
	}
	if done, err := s.machine(p.steps); done && err != nil {
		return err
	}
	return failure
}

func (s *session) performStep(next *step) (result string, err error) {
	var body client.Body[client.Export]
	switch next.Action {
	case create:
		body, err = s.CreateExport(s.ctx, next.definition.body())
		if err == nil {
			id := body.Value.ID
			next.ID = &id
		}
		return "created", err
	case remove:
		return "deleted", s.DeleteExport(s.ctx, *next.ID, next.current.ETag)
	case update:
		_, err = s.ChangeExport(s.ctx, *next.ID, next.current.ETag, revealed(next.body))
		return "changed", err
	case unchanged:
	}
	if len(next.Secrets) == 0 {
		return "unchanged", nil
	}
	body, err = s.ChangeExport(s.ctx, *next.ID, next.current.ETag, revealed(next.body))
	if err == nil && body.ETag != next.current.ETag {
		return "secrets changed", nil
	}
	return "unchanged, secrets too", err
}

// failed says which export an error is about, and what to do when somebody was faster.
func failed(err error, next *step) error {
	where := next.definition.origin
	if where == "" {
		where = "no longer defined"
	}
	code := ExitCode(err)
	text := Explain(err)
	if refusal, ok := asRefusal(err); ok && refusal.Status == http.StatusPreconditionFailed {
		text = "somebody changed it since the plan was made, and was not overwritten: apply again"
	}
	return exitf(code, "%s: %s: %s", where, line(next.Name), text)
}

func diffCommand(env Env) *cobra.Command {
	var files []string
	var others undefined
	cmd := command(env, &cobra.Command{
		Use: "diff -f FILE [flags]", Short: "Show how exports differ from their definitions; exit with 7 if they do",
		Long: "Show how exports differ from their definitions, and exit with 7 if any does. Nothing is changed.\n\n" +
			"Secrets are not compared: the API never shows them. The variables of secrets need not be set.\n" +
			"With --whole-project an export that nobody defines is a difference too.",
		Example: "  tranche exports diff -f exports/\n  tranche exports diff -f exports/ --whole-project -o json",
	}, func(s *session, _ []string) error {
		definitions, err := s.definitions(files)
		if err != nil {
			return err
		}
		plan, err := s.plan(definitions, others, toCompare)
		if err != nil {
			return err
		}
		if done, err := s.machine(plan.steps); err != nil {
			return err
		} else if !done {
			plan.show(s)
		}
		if plan.differs() {
			return exitf(ExitDrift, "%s not as defined", plural(int64(len(plan.steps))-plan.count(unchanged), "export is", "exports are"))
		}
		return nil
	})
	filesFlag(cmd, &files)
	cmd.Flags().BoolVar(&others.all, "whole-project", false, "the definitions are all exports of the project: others are differences")
	return cmd
}
