package destinations

import (
	"context"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"tranche/query"
)

// A Definition is what a kind of destination says of itself. C is the struct of its settings, see [Define].
type Definition[C any] struct {
	// Type is the name in the API, as in "AwsS3"; Name is the one for people, as in "AWS S3".
	Type string
	Name string
	// Guarantee is what a reader can rely on.
	Guarantee Guarantee
	// Endless says that a backfill may have no end: it catches up with the clock and unpauses the export.
	Endless bool
	// Settle decides on settings that depend on how the stored ones came about, before types are looked at: it may
	// change merged, which is sent laid over stored; stored is nil when there is nothing yet. nil = no such settings.
	Settle func(sent, stored, merged map[string]any) error
	// Validate holds the rules that tags cannot say. It runs on settings whose types are right; nil = no rules.
	Validate func(C) error
	// Columns returns what is exported of a model, under the names that the destination wants; nil = all that it has.
	Columns func(C, query.Model) ([]query.Column, error)
	// LongestColumn is how long the name of a column may be, in bytes; 0 = it makes no difference.
	LongestColumn int
	// MaxSplits is how many splits of an interval may be staged; nil = 1.
	MaxSplits func(C) int
	// Memory is the most that one Stage holds at once, in bytes; nil = DefaultMemory.
	Memory func(C) int64
	// Host names the machine that records go to, of which the server bounds how many runs deliver to it at once; nil =
	// there is none that could be overrun.
	Host func(C) string
	// Place says where a run would deliver; nil = that is not known before it has.
	Place func(C, Run, query.Model) Place
	// Steps are the steps of a connection test, the same that the open destination's Checks run.
	Steps []Step
	// Open connects. A destination that must know for whom has OpenFor instead.
	Open    func(context.Context, C) (Destination, error)
	OpenFor func(context.Context, Owner, C) (Destination, error)
}

// An Owner is whose destination is opened. The zero value is nobody.
type Owner struct {
	TeamID   int64
	ExportID uuid.UUID // zero = an export that does not exist yet
	// Model is what the export exports; without a name it is not known.
	Model query.Model
	// Attended says that somebody waits for the answer, as for that of a connection test: what does not answer is told of
	// within seconds, and not asked again and again as for a delivery, which nobody waits for.
	Attended bool
}

// A Step is one step of a connection test, as it is listed before anything is opened.
type Step struct {
	Name        string
	Description string
}

// A Plugin describes a kind of destination without opening it. Make one with Define.
//
// Its methods take a config as [Plugin.Parse] returned it; a round trip through JSON does no harm.
type Plugin struct {
	Type      string
	Name      string
	Guarantee Guarantee
	Endless   bool
	// LongestColumn is how long the name of a column may be, in bytes; 0 = it makes no difference.
	LongestColumn int

	fields    []Field
	steps     []Step
	settle    func(sent, stored, merged map[string]any) error
	validate  func(map[string]any) error
	columns   func(map[string]any, query.Model) ([]query.Column, error)
	maxSplits func(map[string]any) (int, error)
	memory    func(map[string]any) (int64, error)
	host      func(map[string]any) string
	place     func(map[string]any, Run, query.Model) (Place, error)
	open      func(context.Context, Owner, map[string]any) (Destination, error)
}

// Define makes a plugin. Everything about settings is derived from the tags of C's fields:
//
//	json         the setting's name
//	default      the value when it is not sent; without one: null if nullable, else the zero value
//	required     "true": it must be sent
//	secret       "true": it is never shown again
//	enum         the allowed values, separated by commas
//	description  a sentence for people
//
// A setting is a string, an integer, a float, a bool, a []string, a map[string]any, a struct of settings, or a type
// that unmarshals from text; a pointer makes it nullable. Embedded structs are flattened, and an outer field wins over
// an embedded one of its name. Define panics on any other type and on a broken tag.
func Define[C any](d Definition[C]) Plugin {
	fields := fieldsOf(reflect.TypeFor[C]())
	decode := func(config map[string]any) (C, error) {
		var c C
		typed, err := typedValues(fields, config)
		if err != nil {
			return c, err
		}
		return c, fill(reflect.ValueOf(&c).Elem(), fields, typed)
	}
	p := Plugin{Type: d.Type, Name: d.Name, Guarantee: d.Guarantee, Endless: d.Endless, LongestColumn: d.LongestColumn, steps: d.Steps, settle: d.Settle}
	p.fields = append(slices.Clone(fields), commonFields()...)
	p.validate = func(config map[string]any) error {
		c, err := decode(config)
		if err != nil || d.Validate == nil {
			return err
		}
		return d.Validate(c)
	}
	p.columns = func(config map[string]any, model query.Model) ([]query.Column, error) {
		c, err := decode(config)
		if err != nil || d.Columns == nil {
			return model.Columns(), err
		}
		return d.Columns(c, model)
	}
	p.maxSplits = func(config map[string]any) (int, error) {
		c, err := decode(config)
		if err != nil || d.MaxSplits == nil {
			return 1, err
		}
		return d.MaxSplits(c), nil
	}
	p.memory = func(config map[string]any) (int64, error) {
		c, err := decode(config)
		if err != nil || d.Memory == nil {
			return DefaultMemory, err
		}
		return d.Memory(c), nil
	}
	p.host = func(config map[string]any) string {
		c, err := decode(config)
		if err != nil || d.Host == nil {
			return "" // Open says what is wrong with the config
		}
		return d.Host(c)
	}
	p.place = func(config map[string]any, run Run, model query.Model) (Place, error) {
		c, err := decode(config)
		if err != nil || d.Place == nil {
			return Place{}, err
		}
		return d.Place(c, run, model), nil
	}
	p.open = func(ctx context.Context, owner Owner, config map[string]any) (Destination, error) {
		c, err := decode(config)
		if err != nil {
			return nil, err
		}
		if d.OpenFor != nil {
			return d.OpenFor(ctx, owner, c)
		}
		return d.Open(ctx, c)
	}
	return p
}

// Fields returns the settings in order, those that belong to every kind last.
func (p Plugin) Fields() []Field { return slices.Clone(p.fields) }

// Steps returns the steps of a connection test.
func (p Plugin) Steps() []Step { return slices.Clone(p.steps) }

// Parse turns settings as a customer sent them into a full, typed config with defaults and secrets. With stored, the
// config as it was, what is sent is laid over it, dict by dict; keys that only stored has and nobody knows any more are
// dropped. Errors are *ConfigError.
func (p Plugin) Parse(sent, stored map[string]any) (map[string]any, error) {
	if unknown := unknownKeys(p.fields, sent, ""); len(unknown) > 0 {
		return nil, unknownFields(unknown)
	}
	merged := merge(stored, sent)
	if name, ok := missingKey(p.fields, merged, ""); ok {
		return nil, ConfigErrorf("Configuration missing required field: '%s'", name)
	}
	if p.settle != nil {
		if err := p.settle(sent, stored, merged); err != nil {
			return nil, configErrorOf(err)
		}
	}
	config, err := typedValues(p.fields, merged)
	if err != nil {
		return nil, err
	}
	if err := p.validate(config); err != nil {
		return nil, configErrorOf(err)
	}
	if err := checkEnums(p.fields, config); err != nil {
		return nil, err
	}
	if err := checkEvents(config); err != nil {
		return nil, err
	}
	return config, nil
}

// Redact returns the settings that config has and a customer may see, in their declared types: secrets and unknown
// keys are left out, at every level.
func (p Plugin) Redact(config map[string]any) map[string]any { return redact(p.fields, config) }

// Secrets returns every secret value of config as text, for scrubbing it from what vendors say.
func (p Plugin) Secrets(config map[string]any) []string { return secretsOf(p.fields, config, nil) }

// Events returns the names of the only events to export and of those to leave out; either may be empty.
func (p Plugin) Events(config map[string]any) (include, exclude []string) {
	return texts(config[includeEvents]), texts(config[excludeEvents])
}

// Columns returns what is exported of a model with this config; an error says that the destination cannot take the model.
func (p Plugin) Columns(config map[string]any, model query.Model) ([]query.Column, error) {
	return p.columns(config, model)
}

// DefaultMemory is what a Stage is taken to hold when its destination does not say.
const DefaultMemory = 64 << 20

// Memory returns the most that one Stage holds at once with this config, in bytes.
func (p Plugin) Memory(config map[string]any) int64 {
	n, err := p.memory(config)
	if err != nil {
		return DefaultMemory // Open says what is wrong
	}
	return n
}

// MaxSplits returns how many splits of an interval may be staged with this config: 1 when files cannot be numbered.
func (p Plugin) MaxSplits(config map[string]any) int {
	n, err := p.maxSplits(config)
	if err != nil {
		return 1 // Open says what is wrong with the config
	}
	return max(1, n)
}

// Host names the machine that records go to with this config; empty = there is none that could be overrun.
func (p Plugin) Host(config map[string]any) string { return p.host(config) }

// Open connects a destination that need not know whose it is.
func (p Plugin) Open(ctx context.Context, config map[string]any) (Destination, error) {
	return p.open(ctx, Owner{}, config)
}

// OpenFor connects a customer's destination.
func (p Plugin) OpenFor(ctx context.Context, owner Owner, config map[string]any) (Destination, error) {
	return p.open(ctx, owner, config)
}
