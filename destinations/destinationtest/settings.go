package destinationtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/stretchr/testify/require"

	"tranche/destinations"
)

func requiredSettings(w *world) {
	for _, f := range w.Plugin.Fields() {
		if !f.Required {
			continue
		}
		config := maps.Clone(w.Config)
		delete(config, f.Name)
		err := w.refuses(config)
		require.Equal(w, fmt.Sprintf("Configuration missing required field: '%s'", f.Name), err.Detail)
	}
}

// refuses requires that a config is not taken, and returns why.
func (w *world) refuses(config map[string]any) *destinations.ConfigError {
	w.Helper()
	_, err := w.Plugin.Parse(config, nil)
	refused, ok := errors.AsType[*destinations.ConfigError](err)
	require.True(w, ok, "%v", err)
	return refused
}

// wrong holds, for each type, a value that it does not have, and the value's type.
func wrong(t destinations.FieldType) (value any, name string) {
	if t == destinations.FieldDict {
		return []any{}, "list"
	}
	return map[string]any{}, "dict"
}

func wrongSettings(w *world) {
	config := maps.Clone(w.Config)
	config["zebra"], config["aardvark"] = 1, 2
	require.Equal(w, "Configuration has unknown field/s: 'aardvark', 'zebra'", w.refuses(config).Detail)
	for _, f := range w.Plugin.Fields() {
		config := maps.Clone(w.Config)
		value, name := wrong(f.Type)
		config[f.Name] = value
		want := fmt.Sprintf("Configuration has invalid type: got '%s', expected '%s'", name, f.Type)
		require.Equal(w, want, w.refuses(config).Detail)
		if f.Nullable {
			continue
		}
		config[f.Name] = nil
		want = fmt.Sprintf("Configuration has invalid type: got 'NoneType', expected '%s'", f.Type)
		require.Equal(w, want, w.refuses(config).Detail)
	}
}

func secretsStaySecret(w *world) {
	secrets := w.Plugin.Secrets(w.config)
	texts := []string{fmt.Sprint(w.Plugin.Redact(w.config))}
	for _, f := range w.Plugin.Fields() {
		if f.Secret {
			require.NotContains(w, w.Plugin.Redact(w.config), f.Name)
		}
		config := maps.Clone(w.Config)
		config[f.Name], _ = wrong(f.Type)
		texts = append(texts, w.refuses(config).Error())
	}
	for _, secret := range secrets {
		for _, text := range texts {
			require.NotContains(w, text, secret)
		}
	}
}

func configRoundTrip(w *world) {
	body, err := json.Marshal(w.config)
	require.NoError(w, err)
	var stored map[string]any
	require.NoError(w, json.Unmarshal(body, &stored))
	again, err := w.Plugin.Parse(map[string]any{}, stored)
	require.NoError(w, err)
	require.Equal(w, w.config, again)
	require.Equal(w, w.Plugin.Redact(w.config), w.Plugin.Redact(stored))
	require.Equal(w, w.Plugin.MaxSplits(w.config), w.Plugin.MaxSplits(stored))
}

func checksPass(w *world) {
	checks := w.open().Checks()
	steps := w.Plugin.Steps()
	require.Len(w, checks, len(steps))
	for i, check := range checks {
		require.Equal(w, destinations.Step{Name: check.Name, Description: check.Description}, steps[i])
		err := check.Run(w.ctx)
		if skipped, ok := errors.AsType[*destinations.SkippedError](err); ok {
			require.NotEmpty(w, skipped.Reason, check.Name) // it does not apply to the fixture's settings
			continue
		}
		require.NoError(w, err, check.Name)
	}
	w.sees()
	w.stagesNothing()
}
