package cli

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tranche/internal/client"
)

// fieldOrder is how a definition is written; what is not named here follows.
var fieldOrder = []string{"name", "model", "interval", "timezone", "offset_day", "offset_hour", "start_at", "end_at", "paused", "filters"}

// printDefinition prints the definition of an export that exists. Secrets become variables: nobody knows them.
func printDefinition(s *session, e client.Body[client.Export]) error {
	document, err := s.Document(s.ctx)
	if err != nil {
		return err
	}
	var have map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(e.Raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&have); err != nil {
		return err
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	fields := document.ExportFields()
	slices.SortStableFunc(fields, func(a, b string) int { return place(a) - place(b) })
	for _, field := range fields {
		value, ok := have[field]
		if !ok || field == "destination" || field == "last_paused_at" || value == false || field != "interval" && sameField(field, defaults[field], value) {
			continue
		}
		if err := put(root, field, escaped(value)); err != nil {
			return err
		}
	}
	schema, _ := document.Settings(e.Value.Destination.Type) // a type that is gone has no settings
	config, comment, err := configNode(schema, e.Value.Destination.Config, prefixOf(e.Value.Name))
	if err != nil {
		return err
	}
	destination := &yaml.Node{Kind: yaml.MappingNode}
	if err := put(destination, "type", e.Value.Destination.Type); err != nil {
		return err
	}
	attach(destination, "config", config).HeadComment = comment
	attach(root, "destination", destination)
	encoder := yaml.NewEncoder(s.out)
	encoder.SetIndent(2)
	return encoder.Encode(root)
}

// prefixOf begins the names of an export's variables: USER alone would be that of whoever is logged in.
func prefixOf(name string) string {
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	return "TRANCHE_" + strings.ToUpper(letters) + "_"
}

func place(field string) int {
	if i := slices.Index(fieldOrder, field); i >= 0 {
		return i
	}
	return len(fieldOrder)
}

// configNode writes the settings that are not what they are by default, and the secrets as variables. Those that need not
// be there are in a comment.
func configNode(schema client.Schema, have map[string]any, prefix string) (config *yaml.Node, comment string, err error) {
	config = &yaml.Node{Kind: yaml.MappingNode}
	var optional []string
	for _, name := range sortedKeys(schema.Properties) {
		setting := schema.Properties[name]
		value := have[name]
		switch {
		case setting.WriteOnly && slices.Contains(schema.Required, name):
			if err := put(config, name, "${"+prefix+strings.ToUpper(name)+"}"); err != nil {
				return nil, "", err
			}
			continue
		case setting.WriteOnly:
			optional = append(optional, "# "+name+": ${"+prefix+strings.ToUpper(name)+"}")
			continue
		case same(setting.Default, value):
			continue
		}
		if err := put(config, name, escaped(value)); err != nil {
			return nil, "", err
		}
	}
	if len(optional) > 0 {
		comment = "# Secrets are not shown. Of these settings it may have some:\n" + strings.Join(optional, "\n")
	}
	return config, comment, nil
}

// escaped is a value for a definition: its dollar signs are no references, its numbers are numbers.
func escaped(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		x, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return x
	case string:
		return strings.ReplaceAll(v, "$", "$$")
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = escaped(item)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[name] = escaped(item)
		}
		return all
	}
	return value
}

func put(mapping *yaml.Node, name string, value any) error {
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return err
	}
	attach(mapping, name, &node)
	return nil
}

func attach(mapping *yaml.Node, name string, value *yaml.Node) (key *yaml.Node) {
	key = &yaml.Node{Kind: yaml.ScalarNode, Value: name}
	mapping.Content = append(mapping.Content, key, value)
	return key
}
