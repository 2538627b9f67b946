package memory_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/destinationtest/memory"
)

func TestMemoryIsADestination(t *testing.T) { //nolint:paralleltest // the suite watches the process's goroutines
	destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
		t.Helper()
		world := memory.NewWorld()
		server := httptest.NewServer(world)
		t.Cleanup(server.Close)
		t.Cleanup(func() {
			for _, v := range world.Violations() {
				t.Error(v)
			}
		})
		client := memory.Client{URL: server.URL}
		return destinationtest.Fixture{
			Plugin: memory.Plugin(client),
			Config: map[string]any{"prefix": "out", "max_file_size_mb": 1, "token": "planted-secret-token"},
			Rows:   func(context.Context) ([]destinationtest.Row, error) { return rows(world) },
			Staged: func(context.Context) ([]string, error) { return world.Staged(), nil },
			OpenAt: func(ctx context.Context, config map[string]any, at destinationtest.At) (destinations.Destination, error) {
				faulty := client
				faulty.At = at
				return memory.Plugin(faulty).Open(ctx, config)
			},
		}
	})
}

// rows reads all visible objects.
func rows(world *memory.World) ([]destinationtest.Row, error) {
	var all []destinationtest.Row
	for key, o := range world.Visible() {
		if strings.HasSuffix(key, "_manifest.json") {
			continue
		}
		lines := bufio.NewScanner(bytes.NewReader(o.Body))
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var r struct {
				UUID       string          `json:"uuid"`
				Event      string          `json:"event"`
				Timestamp  time.Time       `json:"timestamp"`
				Properties json.RawMessage `json:"properties"`
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return nil, err
			}
			all = append(all, destinationtest.Row{UUID: r.UUID, Event: r.Event, Timestamp: r.Timestamp, Properties: string(r.Properties)})
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
