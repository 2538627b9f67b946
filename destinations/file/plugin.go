// Package file delivers to a folder of the server.
//
// Everything of one run and generation is staged below <root>/.staging/<run>/<generation>. That folder is the fence:
// each step of a commit that changes what a reader sees is a rename out of it or into it, so once Abort has renamed
// it away, a process that still believes in its run fails at its next step, whatever that is.
package file

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
	"tranche/query"
)

// Type is the destination's name in the API.
const Type = "File"

// A Server is what the server, not the customer, says about local files.
type Server struct {
	// Root is the folder that all exports share. It must exist. Empty: the type is refused.
	Root string

	at func(ctx context.Context, point string) error // tests stop a destination here; nil = nothing stops it
}

// A Config is a customer's settings.
type Config struct {
	objects.Config
}

// Plugin returns the kind of destination that writes below the server's root.
func Plugin(server Server) destinations.Plugin {
	return destinations.Define(destinations.Definition[Config]{
		Type:      Type,
		Name:      "local files",
		Guarantee: destinations.AtomicObjects,
		Validate:  server.validate,
		Columns:   func(_ Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Place: func(c Config, run destinations.Run, _ query.Model) destinations.Place {
			return objects.KeysOf(run, c.Config).Place()
		},
		MaxSplits: func(c Config) int { return c.Splits() },
		Memory:    func(c Config) int64 { return c.Config.Memory() + writeBytes },
		Steps:     stepsOf(),
		Open: func(_ context.Context, c Config) (destinations.Destination, error) {
			return server.open(c)
		},
	})
}

// Bounds of a prefix: the names that file systems take have 255 bytes, and variables grow.
const (
	maxPrefix = 512
	maxFolder = 128
)

func (s Server) validate(c Config) error {
	if s.Root == "" {
		return destinations.ConfigErrorf("This server has no folder for files: its TRANCHE_FILE_ROOT is not set")
	}
	if err := c.Config.Validate(); err != nil {
		return err
	}
	if strings.ContainsRune(c.Prefix, 0) {
		return destinations.ConfigErrorf("'prefix' has a character that names of files cannot have")
	}
	folders := strings.Split(c.Prefix, "/")
	if len(c.Prefix) > maxPrefix || slices.ContainsFunc(folders, func(name string) bool { return len(name) > maxFolder }) {
		return destinations.ConfigErrorf("'prefix' is longer than %d bytes, or one of its folders has a name of more than %d", maxPrefix, maxFolder)
	}
	if slices.Contains(folders, "..") {
		return destinations.ConfigErrorf("'prefix' may not leave the folder of exports by '..'")
	}
	if inStaging(c.Prefix) {
		return destinations.ConfigErrorf("'prefix' may not be in '%s', where files are prepared", stagingFolder)
	}
	return nil
}

// inStaging says whether a key lies in the folder for what is not published, on any file system.
func inStaging(key string) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(path.Clean("/"+key), "/"), "/")
	return strings.EqualFold(first, stagingFolder)
}

func (s Server) open(c Config) (*destination, error) {
	if err := s.validate(c); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return nil, batch.Errorf(batch.CodeUnavailable, err, "the folder of exports cannot be opened: the operator of this server must make it, or mount it, for all workers")
	}
	return &destination{folder: folder{root}, config: c, at: s.at}, nil
}
