package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// stepTimeout bounds one step of a connection test, connecting included. It is shorter than the time for a request.
const stepTimeout = 15 * time.Second

// A StepStatus is how a step of a connection test ended.
type StepStatus string

// The ways in which a step ends.
const (
	StepPassed  StepStatus = "Passed"
	StepFailed  StepStatus = "Failed"
	StepSkipped StepStatus = "Skipped"
)

// A StepResult is a step of a connection test after it ran.
type StepResult struct {
	destinations.Step
	Status  StepStatus
	Message string // empty = none; no secret
}

// TestSteps returns the steps of the connection test for a kind of destination.
func (s *Exports) TestSteps(kind string) ([]destinations.Step, error) {
	plugin, ok := s.Plugins.Plugin(kind)
	if !ok || len(plugin.Steps()) == 0 {
		return nil, notFound("Not found.")
	}
	return plugin.Steps(), nil
}

// TestDraft runs one step, from 0, of the connection test for an export of the team that does not exist yet.
func (s *Exports) TestDraft(ctx context.Context, teamID int64, d Draft, step int) (StepResult, error) {
	e, err := s.exportOf(d)
	if err != nil {
		return StepResult{}, err
	}
	e.TeamID = teamID
	return s.test(ctx, e, step)
}

// TestChange runs one step, from 0, of the connection test for an export as it would be after the change. Nothing is
// saved.
func (s *Exports) TestChange(ctx context.Context, teamID int64, id uuid.UUID, c Change, step int) (StepResult, error) {
	e, err := s.Get(ctx, teamID, id)
	if err != nil {
		return StepResult{}, err
	}
	if err := s.apply(&e, c); err != nil {
		return StepResult{}, err
	}
	return s.test(ctx, e, step)
}

func (s *Exports) test(ctx context.Context, e batch.Export, n int) (StepResult, error) {
	plugin, ok := s.Plugins.Plugin(e.Destination.Type)
	if !ok || len(plugin.Steps()) == 0 {
		return StepResult{}, invalid("destination", codeInvalid, "There are no test steps for destinations of type '%s'.", e.Destination.Type)
	}
	steps := plugin.Steps()
	switch {
	case n < 0:
		return StepResult{}, invalid("step", codeMin, "Ensure this value is greater than or equal to 0.")
	case n >= len(steps):
		return StepResult{}, invalid("step", codeMax, "Ensure this value is less than or equal to %d.", len(steps)-1)
	}
	limited, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	result := StepResult{Step: steps[n], Status: StepPassed}
	err := s.runStep(limited, plugin, e, steps[n])
	if err == nil {
		return result, nil
	}
	if ctx.Err() != nil { // nobody waits for the answer, or the time for the request is over
		return StepResult{}, ctx.Err()
	}
	result.Status, result.Message = s.verdict(ctx, err, limited.Err() != nil)
	result.Message = scrub(result.Message, plugin.Secrets(e.Destination.Config))
	return result, nil
}

// errNotConfigured is a step that the open destination does not have.
var errNotConfigured = errors.New("the test step is not configured")

// runStep opens the destination and runs the step in it.
func (s *Exports) runStep(ctx context.Context, plugin destinations.Plugin, e batch.Export, step destinations.Step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var model query.Model // without a name, the steps that need it do without
	if selected, err := s.Models.Select(e); err == nil {
		model = selected.Delivered()
	}
	destination, err := plugin.OpenFor(ctx, destinations.Owner{TeamID: e.TeamID, ExportID: e.ID, Model: model, Attended: true}, e.Destination.Config)
	if err != nil {
		return err
	}
	defer func() {
		if err := destination.Close(); err != nil {
			logOf(ctx, s.Log).Warn("A destination did not close cleanly after a test.", zap.Error(err))
		}
	}()
	checks := destination.Checks()
	i := slices.IndexFunc(checks, func(c destinations.Check) bool { return c.Name == step.Name })
	if i < 0 {
		return errNotConfigured
	}
	return checks[i].Run(ctx)
}

// verdict says how a step that did not pass ended. What nobody classified is for operators.
func (s *Exports) verdict(ctx context.Context, err error, late bool) (StepStatus, string) {
	if skipped, ok := errors.AsType[*destinations.SkippedError](err); ok {
		return StepSkipped, skipped.Reason
	}
	if errors.Is(err, errNotConfigured) {
		return StepFailed, "The test step cannot run as it's not configured."
	}
	if late {
		return StepFailed, fmt.Sprintf("The test step did not finish within %d seconds.", int(stepTimeout.Seconds()))
	}
	if bad, ok := errors.AsType[*destinations.ConfigError](err); ok {
		return StepFailed, bad.Detail
	}
	if known, ok := errors.AsType[*batch.Error](err); ok {
		return StepFailed, sentence(known.Message)
	}
	logOf(ctx, s.Log).Warn("A test step failed for a reason that nobody classified.", zap.Error(err))
	return StepFailed, "The test step failed with an unknown error: " + batch.InternalMessage + "."
}

// sentence makes a sentence of a fragment.
func sentence(fragment string) string {
	if fragment == "" {
		return ""
	}
	if strings.HasSuffix(fragment, "?") {
		return strings.ToUpper(fragment[:1]) + fragment[1:]
	}
	return strings.ToUpper(fragment[:1]) + fragment[1:] + "."
}

// longSecret is how long a secret is that stands in a text for no other reason. A shorter one may be a part of a word, as the
// user "data" is.
const longSecret = 8

// scrub removes secrets from text, the longest first: one may be part of another.
func scrub(text string, secrets []string) string {
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range secrets {
		switch {
		case secret == "":
		case len(secret) < longSecret:
			text = withoutWord(text, secret)
		default:
			text = strings.ReplaceAll(text, secret, hidden)
		}
	}
	return text
}

const hidden = "***"

// withoutWord hides a word wherever it is not a part of a longer one.
func withoutWord(text, word string) string {
	first, _ := utf8.DecodeRuneInString(word)
	last, _ := utf8.DecodeLastRuneInString(word)
	var out strings.Builder
	for done, at := 0, 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			out.WriteString(text[done:])
			return out.String()
		}
		start, end := at+i, at+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if at = start + 1; inWord(before) && inWord(first) || inWord(last) && inWord(after) {
			continue
		}
		out.WriteString(text[done:start] + hidden)
		done, at = end, end
	}
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
