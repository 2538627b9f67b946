package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestModelsAreReadAtTheStart(t *testing.T) {
	t.Parallel()
	c, err := readConfig(from(map[string]string{
		"TRANCHE_SOURCE_TABLE": "analytics.events",
		"TRANCHE_MODELS_FILE":  written(t, "models:\n  persons: false\n"),
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"events", "sessions"}, c.Models.Catalog.Names())
	events, _ := c.Models.Catalog.Model("events")
	require.Equal(t, []string{"analytics", "events"}, events.Table)
}

func TestEachProblemOfTheModelsHasALine(t *testing.T) {
	t.Parallel()
	_, err := readConfig(from(map[string]string{"TRANCHE_MODELS_FILE": written(t, "models:\n  Orders: {}\n  events: {columns: {uuid: ~}}\n")}))
	require.Error(t, err)
	for line := range strings.Lines(err.Error()) {
		require.True(t, strings.HasPrefix(line, "TRANCHE_MODELS_FILE: model "), line)
	}
	require.ErrorContains(t, err, "TRANCHE_MODELS_FILE: model events: the field uuid needs a column")
	_, err = readConfig(from(map[string]string{"TRANCHE_MODELS_FILE": "/nowhere/models.yaml"}))
	require.ErrorContains(t, err, "TRANCHE_MODELS_FILE: there is no such file")
}
