package objects

import "tranche/destinations"

// Place is where files with these keys become visible.
func (k Keys) Place() destinations.Place {
	return destinations.Place{Objects: []string{k.Object(0)}, Manifest: k.Manifest()}
}
