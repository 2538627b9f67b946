// Package postgres describes the destination that keeps events in a table of a PostgreSQL database.
package postgres

import (
	"context"
	"strings"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/safenet"
	"tranche/internal/secret"
	"tranche/query"
)

// Type is the destination's name in the API.
const Type = "Postgres"

// maxIdentifier is how long names are in PostgreSQL, in bytes; longer ones are cut without a word.
const maxIdentifier = 63

// A Server is what the server, not the customer, says about databases.
type Server struct {
	// Guard refuses hosts in our own network; nil = any host will do, as on a laptop.
	Guard Guard
}

// A Guard says whether customers may name a host.
type Guard interface {
	Check(ctx context.Context, host string) error
}

// A Config is a customer's settings.
type Config struct {
	User       secret.String `json:"user" required:"true" secret:"true" description:"The user to connect as."`
	Password   secret.String `json:"password" required:"true" secret:"true" description:"The password of the user."`
	Host       string        `json:"host" required:"true" description:"The name or address of the server."`
	Port       int           `json:"port" default:"5432" description:"The port of the server."`
	Database   string        `json:"database" required:"true" description:"The database on the server."`
	Schema     string        `json:"schema" default:"public" description:"The schema of the table. It must exist."`
	TableName  string        `json:"table_name" default:"events" description:"The table. It is made when it is missing."`
	SelfSigned bool          `json:"has_self_signed_cert" description:"Accept a certificate that no authority has signed."`
}

// steps are the steps of the connection test.
var steps = []destinations.Step{
	{Name: "Connect to PostgreSQL", Description: "Connect to the database over TLS with the user and the password."},
	{Name: "Check that the schema exists", Description: "Look for the schema and for the right to use it."},
	{Name: "Check that the table can be written", Description: "Create a table in the schema, write a row and drop it."},
	{Name: "Check the ledger of deliveries", Description: "See that the table tranche_deliveries is there or can be made."},
}

// Plugin returns the kind of destination that writes to PostgreSQL.
func Plugin(server Server) destinations.Plugin {
	return destinations.Define(destinations.Definition[Config]{
		Type: Type, Name: "PostgreSQL", Guarantee: destinations.ExactlyOnce, Steps: steps,
		Validate: server.validate,
		Columns: func(_ Config, model batch.Model) ([]query.Column, error) {
			if model == batch.ModelEvents {
				return query.ObjectStoreEvents(), nil
			}
			return nil, batch.Errorf(batch.CodeConfig, nil, "the model %q cannot be exported to PostgreSQL", model)
		},
		Open: func(context.Context, Config) (destinations.Destination, error) {
			return nil, batch.Errorf(batch.CodeDestinationClosed, nil, "staging to this destination is not available in this version")
		},
	})
}

func (s Server) validate(c Config) error {
	var empty []string
	for _, input := range []struct{ name, value string }{
		{"user", c.User.Reveal()},
		{"password", c.Password.Reveal()},
		{"database", c.Database},
		{"schema", c.Schema},
		{"table_name", c.TableName},
	} {
		if strings.TrimSpace(input.value) == "" {
			empty = append(empty, input.name)
		}
	}
	if len(empty) > 0 {
		return destinations.ConfigErrorf("The following inputs are empty: ['%s']", strings.Join(empty, "', '"))
	}
	for _, input := range []struct{ name, value string }{{"schema", c.Schema}, {"table_name", c.TableName}} {
		if len(input.value) > maxIdentifier {
			return destinations.ConfigErrorf("'%s' is longer than %d bytes", input.name, maxIdentifier)
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		return destinations.ConfigErrorf("'port' must be between 1 and 65535")
	}
	if _, err := safenet.Normalize(c.Host); err != nil {
		return destinations.ConfigErrorf("%s", err)
	}
	if s.Guard == nil {
		return nil
	}
	// Guard has its own limit of time.
	if err := s.Guard.Check(context.Background(), c.Host); err != nil {
		return destinations.ConfigErrorf("%s", err)
	}
	return nil
}
