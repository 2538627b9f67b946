package destinations_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

type word string

// UnmarshalText makes word a setting of its own type.
func (w *word) UnmarshalText(text []byte) error {
	*w = word("<" + string(text) + ">")
	return nil
}

type copyInputs struct {
	Bucket string `json:"bucket" required:"true"`
	Key    string `json:"key" secret:"true"`
}

type paths struct {
	Prefix string `json:"prefix" default:"p"`
	Table  string `json:"table" default:"inner"`
}

type settings struct {
	paths
	Table    string         `json:"table" default:"events"`
	Host     string         `json:"host" required:"true" description:"Where it is."`
	Port     int            `json:"port" default:"5432"`
	Ratio    float64        `json:"ratio" default:"0.5"`
	TLS      bool           `json:"tls" default:"true"`
	Password word           `json:"password" secret:"true"`
	Mode     *string        `json:"mode" enum:"a,b"`
	Tags     []string       `json:"tags"`
	Extra    map[string]any `json:"extra"`
	Copy     *copyInputs    `json:"copy"`
}

func plugin(opened *settings) destinations.Plugin {
	return destinations.Define(destinations.Definition[settings]{
		Type: "Test", Name: "a test", Guarantee: destinations.ExactlyOnce,
		Validate: func(s settings) error {
			if s.Host == "bad" {
				return batch.Errorf(batch.CodeConfig, nil, "the host is bad")
			}
			return nil
		},
		Columns: func(settings, query.Model) ([]query.Column, error) { return query.ObjectStoreEvents(), nil },
		Open: func(_ context.Context, s settings) (destinations.Destination, error) {
			*opened = s
			return nil, nil
		},
	})
}

// full is the config of {"host": "h"}.
func full(changes map[string]any) map[string]any {
	config := map[string]any{
		"prefix": "p", "table": "events", "host": "h", "port": int64(5432), "ratio": 0.5, "tls": true, "password": "",
		"mode": nil, "tags": []string{}, "extra": map[string]any{}, "copy": nil, "exclude_events": nil, "include_events": nil,
	}
	for key, value := range changes {
		config[key] = value
	}
	return config
}

func TestParse(t *testing.T) {
	t.Parallel()
	type values = map[string]any
	for name, c := range map[string]struct {
		sent, stored values
		want         values
		err          string
	}{
		"defaults":                          {sent: values{"host": "h"}, want: full(nil)},
		"numbers as encoding/json has them": {sent: values{"host": "h", "port": 1.0, "ratio": 2.0}, want: full(values{"port": int64(1), "ratio": 2.0})},
		"numbers as json.Number":            {sent: values{"host": "h", "port": json.Number("1")}, want: full(values{"port": int64(1)})},
		"a number as text":                  {sent: values{"host": "h", "port": "5433"}, want: full(values{"port": int64(5433)})},
		"a bool as Python writes it":        {sent: values{"host": "h", "tls": "False"}, want: full(values{"tls": false})},
		"a bool as JSON writes it":          {sent: values{"host": "h", "tls": "true"}, want: full(nil)},
		"null where it may be":              {sent: values{"host": "h", "mode": nil, "include_events": nil}, want: full(nil)},
		"names of events":                   {sent: values{"host": "h", "include_events": []any{"a"}}, want: full(values{"include_events": []string{"a"}})},
		"more names of events than a statement takes": {
			sent: values{"host": "h", "include_events": slices.Repeat([]any{"a"}, 1001)}, err: "'include_events' has more than 1000 names, or 65536 bytes of text",
		},
		"longer names of events than a statement takes": {
			sent: values{"host": "h", "exclude_events": []any{strings.Repeat("a", 65537)}}, err: "'exclude_events' has more than 1000 names, or 65536 bytes of text",
		},
		"unknown keys come first, sorted":     {sent: values{"zz": 1, "aa": 1, "port": "x"}, err: "Configuration has unknown field/s: 'aa', 'zz'"},
		"unknown keys inside":                 {sent: values{"host": "h", "copy": values{"bucket": "b", "x": 1}}, err: "Configuration has unknown field/s: 'copy.x'"},
		"missing keys come before types":      {sent: values{"port": "x"}, err: "Configuration missing required field: 'host'"},
		"missing keys inside":                 {sent: values{"host": "h", "copy": values{}}, err: "Configuration missing required field: 'copy.bucket'"},
		"int for str":                         {sent: values{"host": 5.0}, err: "Configuration has invalid type: got 'int', expected 'str'"},
		"float for int":                       {sent: values{"host": "h", "port": 1.5}, err: "Configuration has invalid type: got 'float', expected 'int'"},
		"json.Number float for int":           {sent: values{"host": "h", "port": json.Number("1.0")}, err: "Configuration has invalid type: got 'float', expected 'int'"},
		"bool for int":                        {sent: values{"host": "h", "port": true}, err: "Configuration has invalid type: got 'bool', expected 'int'"},
		"words for int":                       {sent: values{"host": "h", "port": "many"}, err: "Configuration has invalid type: got 'str', expected 'int'"},
		"int for bool":                        {sent: values{"host": "h", "tls": 1.0}, err: "Configuration has invalid type: got 'int', expected 'bool'"},
		"null where it may not be":            {sent: values{"host": nil}, err: "Configuration has invalid type: got 'NoneType', expected 'str'"},
		"str for list":                        {sent: values{"host": "h", "tags": "a"}, err: "Configuration has invalid type: got 'str', expected 'list'"},
		"int in a list":                       {sent: values{"host": "h", "tags": []any{"a", 1.0}}, err: "Configuration has invalid type: got 'int', expected 'str'"},
		"list for dict":                       {sent: values{"host": "h", "extra": []any{}}, err: "Configuration has invalid type: got 'list', expected 'dict'"},
		"the kind's own rules":                {sent: values{"host": "bad"}, err: "the host is bad"},
		"none of the allowed values":          {sent: values{"host": "h", "mode": "c"}, err: "Configuration field 'mode' must be one of 'a', 'b'"},
		"a change keeps the rest":             {sent: values{"port": 1}, stored: full(values{"password": "s"}), want: full(values{"port": int64(1), "password": "s"})},
		"a change needs no required keys":     {sent: values{}, stored: full(nil), want: full(nil)},
		"a change merges dicts":               {sent: values{"extra": values{"b": 2, "c": values{"y": 2}}}, stored: full(values{"extra": values{"a": 1, "c": values{"x": 1}}}), want: full(values{"extra": values{"a": 1, "b": 2, "c": values{"x": 1, "y": 2}}})},
		"a change replaces a dict by null":    {sent: values{"copy": nil}, stored: full(values{"copy": values{"bucket": "b", "key": "k"}}), want: full(nil)},
		"a change replaces null by a dict":    {sent: values{"copy": values{"bucket": "b"}}, stored: full(nil), want: full(values{"copy": values{"bucket": "b", "key": ""}})},
		"secrets inside survive a change":     {sent: values{"copy": values{"bucket": "c"}}, stored: full(values{"copy": values{"bucket": "b", "key": "k"}}), want: full(values{"copy": values{"bucket": "c", "key": "k"}})},
		"unknown stored keys are dropped":     {sent: values{}, stored: full(values{"old": 1}), want: full(nil)},
		"stored scalars may be text":          {sent: values{}, stored: full(values{"port": "5432", "tls": "True"}), want: full(nil)},
		"an unknown key in a change":          {sent: values{"old": 2}, stored: full(values{"old": 1}), err: "Configuration has unknown field/s: 'old'"},
		"an empty text for a required string": {sent: values{"host": ""}, want: full(values{"host": ""})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := plugin(new(settings)).Parse(c.sent, c.stored)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				require.ErrorAs(t, err, new(*destinations.ConfigError))
				require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
				require.Equal(t, c.err, batch.MessageOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestOpenGetsTheSettings(t *testing.T) {
	t.Parallel()
	var got settings
	p := plugin(&got)
	config, err := p.Parse(map[string]any{
		"host": "h", "mode": "a", "password": "s", "tags": []any{"x"}, "copy": map[string]any{"bucket": "b", "key": "k"},
	}, nil)
	require.NoError(t, err)
	body, err := json.Marshal(config)
	require.NoError(t, err)
	var stored map[string]any
	require.NoError(t, json.Unmarshal(body, &stored))
	_, err = p.Open(t.Context(), stored)
	require.NoError(t, err)
	mode := "a"
	require.Equal(t, settings{
		paths: paths{Prefix: "p"}, Table: "events", Host: "h", Port: 5432, Ratio: 0.5, TLS: true, Password: "<s>", Mode: &mode,
		Tags: []string{"x"}, Extra: map[string]any{}, Copy: &copyInputs{Bucket: "b", Key: "k"},
	}, got)
}

func TestRedact(t *testing.T) {
	t.Parallel()
	p := plugin(new(settings))
	config := map[string]any{
		"host": "h", "port": "5432", "tls": "True", "password": "secret 1", "unknown": "secret 2",
		"copy": map[string]any{"bucket": "b", "key": "secret 3", "unknown": "secret 4"},
	}
	require.Equal(t, map[string]any{
		"host": "h", "port": int64(5432), "tls": true, "copy": map[string]any{"bucket": "b"},
	}, p.Redact(config))
	require.ElementsMatch(t, []string{"secret 1", "secret 3"}, p.Secrets(config))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	include, exclude := plugin(new(settings)).Events(map[string]any{
		"include_events": []string{"a", "b"}, "exclude_events": []any{"c"},
	})
	require.Equal(t, []string{"a", "b"}, include)
	require.Equal(t, []string{"c"}, exclude)
	include, exclude = plugin(new(settings)).Events(map[string]any{"include_events": nil})
	require.Empty(t, include)
	require.Empty(t, exclude)
}

func TestFields(t *testing.T) {
	t.Parallel()
	fields := map[string]destinations.Field{}
	for _, f := range plugin(new(settings)).Fields() {
		fields[f.Name] = f
	}
	require.Len(t, fields, 13)
	require.True(t, fields["host"].Required)
	require.Equal(t, "Where it is.", fields["host"].Description)
	require.Equal(t, int64(5432), fields["port"].Default)
	require.Equal(t, "events", fields["table"].Default)
	require.True(t, fields["mode"].Nullable)
	require.Equal(t, []string{"a", "b"}, fields["mode"].Enum)
	require.True(t, fields["copy"].Fields[1].Secret)
	require.Equal(t, destinations.FieldList, fields["exclude_events"].Type)
	require.Equal(t, 1, plugin(new(settings)).MaxSplits(full(nil)))
}

func TestDefinePanicsOnBrokenDeclarations(t *testing.T) {
	t.Parallel()
	for name, define := range map[string]func(){
		"a type that is no setting": func() {
			destinations.Define(destinations.Definition[struct {
				A chan int `json:"a"`
			}]{})
		},
		"no name": func() { destinations.Define(destinations.Definition[struct{ A string }]{}) },
		"a default of another type": func() {
			destinations.Define(destinations.Definition[struct {
				A int `json:"a" default:"x"`
			}]{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Panics(t, define)
		})
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	a, b := destinations.Plugin{Type: "A"}, destinations.Plugin{Type: "B"}
	r := destinations.NewRegistry(b, a)
	require.Equal(t, []string{"A", "B"}, r.Types())
	got, ok := r.Plugin("A")
	require.True(t, ok)
	require.Equal(t, "A", got.Type)
	_, ok = r.Plugin("a")
	require.False(t, ok)
	require.Panics(t, func() { destinations.NewRegistry(a, b, a) })
}
