package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/destinations/s3"
)

// A place is a destination that the caller has: what it holds afterwards is the caller's to remove.
type place struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config"`
}

// places are the kinds of destination that can be measured on a server of the caller's.
func places() *destinations.Registry {
	return destinations.NewRegistry(append(s3.Plugins(s3.Server{}), postgres.Plugin(postgres.Server{Plaintext: true}))...)
}

func readPlace(path string) (place, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return place{}, err
	}
	var p place
	if err := json.Unmarshal(body, &p); err != nil {
		return place{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (p place) name() string {
	return strings.TrimSuffix("Tranche to "+p.Type+", "+p.format(), ", ")
}

// format is the format and codec of files, named as in the other measurements; "" = there are no files.
func (p place) format() string {
	format, _ := p.Config["file_format"].(string)
	codec, _ := p.Config["compression"].(string)
	return strings.TrimSpace(format + " " + codec)
}

func (p place) run(ctx context.Context, o options, _ string) (result, error) {
	plugin, ok := places().Plugin(p.Type) //nolint:contextcheck // a plugin is made without connecting
	if !ok {
		return result{}, fmt.Errorf("there is no destination of type %q to measure", p.Type)
	}
	return export(ctx, o, plugin, p.Config)
}
