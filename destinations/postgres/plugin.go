package postgres

import (
	"context"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5"

	"tranche/destinations"
	"tranche/destinations/tables"
	"tranche/query"
)

// maxSplits is how many splits of an interval may be staged: each is a table and a connection.
const maxSplits = 16

// stagingMemory is the most that staging a split holds: a chunk of COPY, and the driver's buffers.
const stagingMemory = 4 << 20

// Plugin returns the kind of destination that writes to PostgreSQL.
func Plugin(server Server) destinations.Plugin {
	return destinations.Define(destinations.Definition[Config]{
		Type: Type, Name: "PostgreSQL", Guarantee: destinations.ExactlyOnceByKey, Steps: steps(),
		Validate:  server.validate,
		Columns:   func(_ Config, m query.Model) ([]query.Column, error) { return tables.Columns(m) },
		Place:     func(c Config, _ destinations.Run, m query.Model) destinations.Place { return c.placeOf(m) },
		MaxSplits: func(Config) int { return maxSplits }, LongestColumn: maxIdentifier,
		Host:   func(c Config) string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) },
		Memory: func(Config) int64 { return stagingMemory },
		OpenFor: func(_ context.Context, owner destinations.Owner, c Config) (destinations.Destination, error) {
			return server.open(owner, c)
		},
	})
}

// A destination is one customer's table. Every call has a connection of its own: calls come rarely, and several at once.
type destination struct {
	server  Server
	config  Config
	connect pgx.ConnConfig
	model   query.Model // which the table is for; without a name it is not known
	patience
}

func (s Server) open(owner destinations.Owner, c Config) (*destination, error) {
	connect, err := s.connectConfig(c)
	if err != nil {
		return nil, err
	}
	return &destination{server: s, config: c, connect: *connect, model: owner.Model, patience: s.patienceFor(owner)}, nil
}

// Close does nothing: every call closes its own connection.
func (d *destination) Close() error { return nil }

// reach tells tests that a step is about to change something.
func (d *destination) reach(ctx context.Context, step string) error {
	if d.server.at == nil {
		return nil
	}
	return d.server.at(ctx, step)
}

// table is the customer's table, quoted.
func (d *destination) table() string { return d.quoted(d.config.TableName) }

// ledger is the ledger of deliveries, quoted.
func (d *destination) ledger() string { return d.quoted(tables.LedgerName) }

// quoted is a name in the customer's schema.
func (d *destination) quoted(name string) string {
	return pgx.Identifier{d.config.Schema, name}.Sanitize()
}

// placeOf is the table that would be made for a model.
func (c Config) placeOf(m query.Model) destinations.Place {
	table := model{Model: tables.For(m)}
	place := destinations.Place{Table: []string{c.Schema, c.TableName}}
	for _, column := range table.Columns {
		place.Columns = append(place.Columns, destinations.Column{Name: column.Name, Type: table.typeName(column)})
	}
	return place
}
