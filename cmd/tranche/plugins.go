package main

import (
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/postgres"
	"tranche/internal/safenet"
)

// plugins is the list of destinations. A new one is one line here.
func plugins(c config) *destinations.Registry {
	return destinations.NewRegistry(
		file.Plugin(file.Server{Root: c.FileRoot}),
		postgres.Plugin(postgres.Server{Guard: safenet.Guard{}}),
	)
}
