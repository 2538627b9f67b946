package file_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/file"
)

//nolint:paralleltest // the suite watches the process's goroutines
func TestConformance(t *testing.T) {
	configs := map[string]map[string]any{
		"one JSONLines file":    {},
		"numbered JSONLines.gz": {"compression": "gzip", "max_file_size_mb": 1, "prefix": "a/{year}/{table}"},
		"numbered Parquet":      {"file_format": "Parquet", "compression": "zstd", "max_file_size_mb": 1, "prefix": "p"},
		"numbered CSV":          {"file_format": "CSV", "max_file_size_mb": "1", "prefix": "/absolute/"},
	}
	for name, config := range configs { //nolint:paralleltest // see above
		t.Run(name, func(t *testing.T) {
			destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
				t.Helper()
				return fixture(t, config)
			})
		})
	}
}

// fixture is a fresh root with a reader of its own.
func fixture(t *testing.T, config map[string]any) destinationtest.Fixture {
	t.Helper()
	server := file.Server{Root: t.TempDir()}
	return destinationtest.Fixture{
		Plugin: file.Plugin(server),
		Config: config,
		Rows:   func(context.Context) ([]destinationtest.Row, error) { return readRows(server.Root) },
		Staged: func(context.Context) ([]string, error) { return staged(server.Root) },
		OpenAt: func(ctx context.Context, config map[string]any, at destinationtest.At) (destinations.Destination, error) {
			return file.Plugin(server.WithFaults(t, at)).Open(ctx, config)
		},
	}
}

func open(t *testing.T, root string, config map[string]any) destinations.Destination {
	t.Helper()
	p := file.Plugin(file.Server{Root: root})
	parsed, err := p.Parse(config, nil)
	require.NoError(t, err)
	d, err := p.Open(t.Context(), parsed)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}
