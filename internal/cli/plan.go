package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"tranche/internal/client"
)

// An action is what a plan does with an export.
type action string

const (
	create    action = "create"
	update    action = "update"
	unchanged action = "unchanged"
	remove    action = "delete"
)

// A difference is a field that is to become something else.
type difference struct {
	Field string `json:"field"`
	From  any    `json:"from"`
	To    any    `json:"to"` // a reference is shown as it is written

	want any
}

// A step is what a plan does with one export.
type step struct {
	Action  action       `json:"action"`
	Name    string       `json:"name"`
	ID      *uuid.UUID   `json:"id"`
	Changes []difference `json:"changes"`
	// Secrets are sent, since nobody can tell whether they differ.
	Secrets []string `json:"secrets_sent"`
	// Result is what came of it, once it was done.
	Result string `json:"result,omitempty"`

	definition definition
	current    client.Body[client.Export]
	body       map[string]any // of the change
}

// A plan is what makes exports as they are defined.
type plan struct{ steps []*step }

// A purpose is what a plan is made for.
type purpose int

const (
	toApply       purpose = iota
	toKeepSecrets         // to apply all but the secrets of exports that exist
	toCompare             // to look only: no secret is needed
)

// A planner compares definitions with what there is.
type planner struct {
	*session
	document client.Document
	byName   map[string][]uuid.UUID
	purpose  purpose
}

// An undefined says what becomes of exports that nobody defines: those that are named are deleted, or all of them.
type undefined struct {
	names []string
	all   bool
}

// plan compares definitions, and names of exports that are to go, with what there is. Nothing is changed.
func (s *session) plan(definitions []definition, others undefined, why purpose) (*plan, error) {
	document, err := s.Document(s.ctx)
	if err != nil {
		return nil, err
	}
	p := planner{session: s, document: document, byName: map[string][]uuid.UUID{}, purpose: why}
	for e, err := range s.Exports(s.ctx) {
		if err != nil {
			return nil, err
		}
		p.byName[e.Value.Name] = append(p.byName[e.Value.Name], e.Value.ID)
	}
	result := &plan{}
	for _, d := range definitions {
		next, err := p.step(d)
		if err != nil {
			return nil, err
		}
		result.steps = append(result.steps, next)
	}
	if others.all {
		others.names = append(others.names, p.undefined(result)...)
	}
	return result, p.prune(result, others.names)
}

// step plans what makes an export as it is defined.
func (p *planner) step(d definition) (*step, error) {
	schema, ok := p.document.Settings(d.kind())
	if !ok {
		return nil, exitf(ExitRefused, "%s: the server has no destinations of the type %q", d.origin, d.kind())
	}
	if err := d.check(p.document.ExportFields(), sortedKeys(schema.Properties)); err != nil {
		return nil, err
	}
	next := &step{Action: create, Name: d.name, definition: d, Changes: []difference{}, Secrets: []string{}}
	p.warnOfSecrets(d, schema)
	id := d.id
	if id == uuid.Nil {
		ids := p.byName[d.name]
		if len(ids) > 1 {
			return nil, exitf(ExitRefused, "%s: %d exports are named %q: give the definition an id: %s", d.origin, len(ids), d.name, listed(ids))
		}
		if len(ids) == 0 {
			return next, p.allSet(next, d.fields)
		}
		id = ids[0]
	}
	current, err := p.Export(p.ctx, id)
	if err != nil {
		return nil, missing(err, "%s: there is no export with the id %s", d.origin, id)
	}
	next.ID, next.current = &id, current
	if err := p.compare(next, schema); err != nil {
		return nil, err
	}
	return next, p.allSet(next, next.body)
}

// warnOfSecrets tells of secrets that stand in a file.
func (p *planner) warnOfSecrets(d definition, schema client.Schema) {
	for name, setting := range schema.Properties {
		if text, ok := d.config()[name].(string); ok && setting.WriteOnly && text != "" {
			p.warn("%s: destination.config.%s is a secret: keep it out of the file, and write ${%s}", d.origin, name, strings.ToUpper(name))
		}
	}
}

// allSet refuses what names variables that are not set. What does not exist yet can be told without them.
func (p *planner) allSet(next *step, body map[string]any) error {
	if p.purpose == toCompare && next.ID == nil {
		return nil
	}
	return next.definition.allSet(body)
}

// keptFields are left as they are when a definition does not have them.
var keptFields = []string{"paused", "last_paused_at", "name", "destination"}

// defaults are the fields whose default is not null.
var defaults = map[string]any{"interval": "hour", "timezone": "UTC", "model": "events", "incremental_mode": "APPEND"}

// compare finds out how an export differs from its definition.
func (p *planner) compare(next *step, schema client.Schema) error {
	var have map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(next.current.Raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&have); err != nil {
		return err
	}
	d := next.definition
	if d.kind() != next.current.Value.Destination.Type {
		return exitf(ExitRefused, "%s: %q delivers to %s; a type cannot be changed to %s: delete the export and create it anew, or give the new one another name",
			d.origin, d.name, next.current.Value.Destination.Type, d.kind())
	}
	next.body = map[string]any{}
	for _, field := range p.document.ExportFields() {
		want, defined := d.fields[field]
		stored, shown := have[field]
		if field == "destination" || !shown || !defined && slices.Contains(keptFields, field) {
			continue
		}
		if !defined || want == nil {
			want = defaults[field]
		}
		if sameField(field, want, stored) {
			continue
		}
		if field == "model" {
			return exitf(ExitRefused, "%s: %q exports %s; a model cannot be changed: delete the export and create it anew, or give the new one another name",
				d.origin, d.name, textOf(stored))
		}
		next.differ(field, stored, want)
		next.body[field] = want
	}
	p.compareDestination(next, schema, have)
	if len(next.Changes) > 0 {
		next.Action = update
	} else {
		next.Action = unchanged
	}
	return nil
}

func sameField(field string, want, have any) bool {
	switch {
	case slices.Contains(timeFields, field):
		return sameTime(want, have)
	case want == nil && (field == "offset_day" || field == "offset_hour"):
		return have == nil || textOf(have) == "0"
	case field == "name":
		return strings.TrimSpace(textOf(want)) == textOf(have)
	}
	return same(want, have)
}

func (n *step) differ(field string, from, to any) {
	n.Changes = append(n.Changes, difference{Field: field, From: from, To: withTemplates(to), want: to})
}

// compareDestination compares the settings. When any differ, or secrets are to be sent, all that are defined are sent.
func (p *planner) compareDestination(next *step, schema client.Schema, have map[string]any) {
	destination, _ := have["destination"].(map[string]any) // the API always shows one
	stored, _ := destination["config"].(map[string]any)
	before := len(next.Changes)
	config := p.compareSettings(next, schema, next.definition.config(), stored, "destination.config.", true)
	if len(next.Changes) > before || len(next.Secrets) > 0 {
		next.body["destination"] = map[string]any{"type": next.definition.kind(), "config": config}
	}
}

// compareSettings compares settings, and returns those to be sent.
func (p *planner) compareSettings(next *step, schema client.Schema, want, have map[string]any, path string, complete bool) map[string]any {
	sent := map[string]any{}
	for _, name := range sortedKeys(schema.Properties) {
		setting := schema.Properties[name]
		value, defined := want[name]
		nested, isNested := value.(map[string]any)
		switch {
		case setting.WriteOnly:
			if defined && value != nil && p.purpose == toApply {
				sent[name] = value
				next.Secrets = append(next.Secrets, path+name)
			}
			continue
		case isNested && len(setting.Properties) > 0:
			stored, _ := have[name].(map[string]any) // null: everything in it is new
			sent[name] = p.compareSettings(next, setting, nested, stored, path+name+".", false)
			continue
		case !defined && (!complete || slices.Contains(schema.Required, name)):
			continue
		case !defined:
			value = setting.Default
		}
		if defined {
			sent[name] = value
		}
		if !same(value, have[name]) {
			next.differ(path+name, have[name], value)
			sent[name] = value
		}
	}
	return sent
}

// undefined lists the ids of the exports that no definition is about, by their names.
func (p *planner) undefined(result *plan) []string {
	var ids []string
	for _, name := range sortedKeys(p.byName) {
		for _, id := range p.byName[name] {
			if !slices.ContainsFunc(result.steps, func(s *step) bool { return s.ID != nil && *s.ID == id }) {
				ids = append(ids, id.String())
			}
		}
	}
	return ids
}

// prune adds the exports that are to go, each once.
func (p *planner) prune(result *plan, names []string) error {
	for _, name := range names {
		for _, s := range result.steps {
			if s.Action != remove && (s.Name == name || s.ID != nil && s.ID.String() == name) {
				return usagef("--prune %s: %s defines this export", name, s.definition.origin)
			}
		}
		e, err := p.export(name)
		if ExitCode(err) == ExitNotFound {
			continue // gone already: that is what is wanted
		}
		if err != nil {
			return err
		}
		id := e.Value.ID
		same := slices.IndexFunc(result.steps, func(s *step) bool { return s.ID != nil && *s.ID == id })
		if same < 0 {
			result.steps = append(result.steps, &step{
				Action: remove, Name: e.Value.Name, ID: &id, current: e, Changes: []difference{}, Secrets: []string{},
			})
		} else if known := result.steps[same]; known.Action != remove { // named otherwise
			return usagef("--prune %s: %s defines this export", name, known.definition.origin)
		}
	}
	return nil
}

// count counts the steps with an action.
func (p *plan) count(a action) int64 {
	n := int64(0)
	for _, s := range p.steps {
		if s.Action == a {
			n++
		}
	}
	return n
}

// differs says whether anything is not as it is defined, as far as can be told.
func (p *plan) differs() bool { return p.count(unchanged) < int64(len(p.steps)) }

// sendsSecrets counts exports that are unchanged but for secrets, which nobody can tell.
func (p *plan) sendsSecrets() int64 {
	n := int64(0)
	for _, s := range p.steps {
		if s.Action == unchanged && len(s.Secrets) > 0 {
			n++
		}
	}
	return n
}

// show prints the plan for people.
func (p *plan) show(s *session) {
	signs := map[action]string{create: "+", update: "~", unchanged: "=", remove: "-"}
	tones := map[action]tone{create: good, update: busy, unchanged: faint, remove: bad}
	for _, next := range p.steps {
		note := string(next.Action)
		if next.Action == create {
			note = "create: " + next.summary()
		}
		fmt.Fprintf(s.out, "%s %s  %s\n", s.style.paint(tones[next.Action], signs[next.Action]), line(next.Name), s.style.paint(faint, line(note)))
		for _, c := range next.Changes {
			to := shown(c.want)
			if _, ok := c.want.(reference); ok {
				to += " (not shown)"
			}
			fmt.Fprintf(s.out, "    %s: %s → %s\n", c.Field, line(shown(c.From)), line(to))
		}
		for _, field := range next.Secrets {
			fmt.Fprintf(s.out, "    %s: %s\n", field, s.style.paint(faint, "secret, sent; the API does not show whether it differs"))
		}
	}
	var words []string
	for _, c := range []struct {
		a    action
		text string
	}{{create, "to create"}, {update, "to change"}, {remove, "to delete"}, {unchanged, "unchanged"}} {
		if n := p.count(c.a); n > 0 {
			words = append(words, count(n)+" "+c.text)
		}
	}
	fmt.Fprintf(s.out, "%s.\n", strings.Join(words, ", "))
}

// summary says in a few words what is created.
func (n *step) summary() string {
	model, interval := textOf(n.definition.fields["model"]), textOf(n.definition.fields["interval"])
	if model == "" {
		model = "events"
	}
	if interval == "" {
		interval = "hour"
	}
	return fmt.Sprintf("%s → %s, %s", model, n.definition.kind(), interval)
}
