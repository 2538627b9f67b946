package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"tranche/destinations"
	"tranche/internal/app"
)

// A stepBody is a step of a connection test; without a result it has not run.
type stepBody struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Result      *stepResultBody `json:"result"`
}

type stepResultBody struct {
	Status  app.StepStatus `json:"status"`
	Message *string        `json:"message"`
}

type stepsBody struct {
	Steps []stepBody `json:"steps"`
}

// stepResult is what is shown of a step that ran.
func stepResult(r app.StepResult) stepBody {
	body := stepBody{Name: r.Name, Description: r.Description, Result: &stepResultBody{Status: r.Status}}
	if r.Message != "" {
		body.Result.Message = &r.Message
	}
	return body
}

// listTestSteps answers with the steps of the connection test for a type of destination.
func (s *Server) listTestSteps(c *gin.Context, who caller) (int, any, error) {
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	kind := s.testedTypeOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	steps, err := s.Exports.TestSteps(kind)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, stepsBody{Steps: each(steps, func(step destinations.Step) stepBody {
		return stepBody{Name: step.Name, Description: step.Description}
	})}, nil
}

// testedTypeOf reads the type of the destination.
func (s *Server) testedTypeOf(p *params) string {
	p.note("destination", schema{"type": "string", "enum": s.Exports.Plugins.Types()}, true)
	kind := p.get("destination")
	if kind == "" {
		p.fail("destination", codeRequired, "This field is required.")
	}
	return kind
}

// testDraft runs one step of the connection test for a batch export that could be created from the body.
func (s *Server) testDraft(c *gin.Context, who caller) (int, any, error) {
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft, step := testOf(f, who)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	result, err := s.Exports.TestDraft(c.Request.Context(), who.teamID, draft, step)
	return http.StatusOK, stepResult(result), err
}

// testExport runs one step of the connection test for an export with the changes of the body, which are not saved.
func (s *Server) testExport(c *gin.Context, who caller) (int, any, error) {
	id, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	if _, err := s.Exports.Get(c.Request.Context(), who.teamID, id); err != nil {
		return 0, nil, err // whatever the body says
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	change, step := changedTestOf(f, who)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	result, err := s.Exports.TestChange(c.Request.Context(), who.teamID, id, change, step)
	return http.StatusOK, stepResult(result), err
}

// testOf reads an export, and the step to run.
func testOf(f *form, who caller) (app.Draft, int) {
	draft := draftOf(f, who)
	return draft, *orZero(f.integer("step", optional))
}

// changedTestOf reads changes of an export, and the step to run.
func changedTestOf(f *form, who caller) (app.Change, int) {
	change := changeOf(f, who, false)
	return change, *orZero(f.integer("step", optional))
}
