package main

import (
	"tranche/destinations"
	"tranche/destinations/file"
)

// plugins is the list of destinations. A new one is one line here.
func plugins(c config) *destinations.Registry {
	return destinations.NewRegistry(
		file.Plugin(file.Server{Root: c.FileRoot}),
	)
}
