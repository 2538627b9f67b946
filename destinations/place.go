package destinations

import "tranche/query"

// A Place is where the rows of a run become visible, as it is known before anything is connected or written.
type Place struct {
	// Table is the name of a table, after that of its schema; empty = there is none.
	Table []string
	// Columns are those of the table, if it were made now.
	Columns []Column
	// Objects are the keys of the first files, and Manifest that of their manifest.
	Objects  []string
	Manifest string
}

// Place says where a run of the model would deliver with this config.
func (p Plugin) Place(config map[string]any, run Run, model query.Model) (Place, error) {
	return p.place(config, run, model)
}
