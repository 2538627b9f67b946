package batch

// A Selection is what an export wants of its model: which rows, and which columns in place of the model's own. It is kept
// as it was sent; package query says what it means, each time that it is used.
type Selection struct {
	// Filters are conditions on rows of the model events, decoded JSON.
	Filters []map[string]any `json:"filters,omitempty"`
	// Query is a SELECT of the customer's; empty = the model's own columns.
	Query string `json:"query,omitempty"`
	// Modifiers go with the query. Nothing here depends on them; clients get them back, also when they are empty.
	Modifiers map[string]any `json:"modifiers,omitzero"`
	// PrimaryKey are the columns of the query that tell rows apart, VersionKey those that say which of two is newer.
	PrimaryKey []string `json:"primary_key,omitempty"`
	VersionKey []string `json:"version_key,omitempty"`
	// Mode says what becomes of rows whose key was delivered before.
	Mode IncrementalMode `json:"incremental_mode,omitempty"`
}

// An IncrementalMode says how the rows of a customer's query are added to a table.
type IncrementalMode string

// The modes. The zero value appends.
const (
	IncrementalAppend IncrementalMode = "APPEND" // rows are added
	IncrementalMerge  IncrementalMode = "MERGE"  // rows replace those of their key
)

// IncrementalModes lists them.
var IncrementalModes = []IncrementalMode{IncrementalAppend, IncrementalMerge}

// Merges says whether rows replace those of their key.
func (s Selection) Merges() bool { return s.Mode == IncrementalMerge }

// Custom says whether the columns are the customer's own.
func (s Selection) Custom() bool { return s.Query != "" }
