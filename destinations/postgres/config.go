// Package postgres is the destination that keeps rows in a table of a PostgreSQL database.
//
// Each split is copied into a table of its own. A commit moves them into the customer's table in one transaction with a
// row of the ledger, tranche_deliveries, which says what was delivered by whom: so it is done once, and whoever comes
// again sees that.
package postgres

import (
	"context"
	"crypto/x509"
	"strings"
	"syscall"

	"tranche/destinations"
	"tranche/destinations/tables"
	"tranche/internal/safenet"
	"tranche/internal/secret"
)

// Type is the destination's name in the API.
const Type = "Postgres"

// maxIdentifier is how long names are in PostgreSQL, in bytes; longer ones are cut without a word.
const maxIdentifier = 63

// A Server is what the server, not the customer, says about databases.
type Server struct {
	// Guard refuses hosts in our own network; nil = any host will do, as on a laptop.
	Guard Guard
	// Plaintext allows connections without TLS, as on a laptop: they are encrypted only where the database can.
	Plaintext bool

	// at is where tests stop a destination; see destinationtest.
	at func(ctx context.Context, step string) error
	// patience says how long to wait for the other side; nil = defaultPatience.
	patience *patience
}

// A Guard says whether customers may name a host.
type Guard interface {
	// Check says whether the host may be named.
	Check(ctx context.Context, host string) error
	// Control is net.Dialer's: it says whether the address that the name means now may be connected to.
	Control(network, address string, conn syscall.RawConn) error
}

// The modes of TLS, as libpq has them.
const (
	tlsDisable    = "disable"
	tlsPrefer     = "prefer"
	tlsRequire    = "require"
	tlsVerifyCA   = "verify-ca"
	tlsVerifyFull = "verify-full"
)

// A Config is a customer's settings.
type Config struct {
	User       secret.String `json:"user" required:"true" secret:"true" description:"The user to connect as."`
	Password   secret.String `json:"password" required:"true" secret:"true" description:"The password of the user."`
	Host       string        `json:"host" required:"true" description:"The name or address of the server."`
	Port       int           `json:"port" default:"5432" description:"The port of the server."`
	Database   string        `json:"database" required:"true" description:"The database on the server."`
	Schema     string        `json:"schema" default:"public" description:"The schema of the table. It is made when it is missing."`
	TableName  string        `json:"table_name" default:"events" description:"The table. It is made when it is missing."`
	SelfSigned bool          `json:"has_self_signed_cert" description:"Accept a certificate that no authority has signed."`
	SSLMode    *string       `json:"ssl_mode" enum:"disable,prefer,require,verify-ca,verify-full" description:"How TLS is used, as libpq has it; null = verify-full, or require with a self-signed certificate."`
	RootCert   *string       `json:"ssl_root_cert" description:"The certificates (PEM) of the authorities to trust; null = the public ones."`
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
		if strings.IndexByte(input.value, 0) >= 0 {
			return destinations.ConfigErrorf("'%s' holds a character that PostgreSQL refuses", input.name)
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
	if tables.Reserved(c.TableName) {
		return destinations.ConfigErrorf("'table_name' is a name that deliveries use for themselves")
	}
	if c.Port < 1 || c.Port > 65535 {
		return destinations.ConfigErrorf("'port' must be between 1 and 65535")
	}
	if err := s.validateTLS(c); err != nil {
		return err
	}
	return s.validateHost(c)
}

func (s Server) validateTLS(c Config) error {
	if c.RootCert != nil && !x509.NewCertPool().AppendCertsFromPEM([]byte(*c.RootCert)) {
		return destinations.ConfigErrorf("'ssl_root_cert' holds no certificate in PEM form")
	}
	if c.SSLMode == nil || s.Plaintext {
		return nil
	}
	if *c.SSLMode == tlsDisable || *c.SSLMode == tlsPrefer {
		return destinations.ConfigErrorf("'ssl_mode' must be '%s', '%s' or '%s': this server connects over TLS only", tlsRequire, tlsVerifyCA, tlsVerifyFull)
	}
	return nil
}

func (s Server) validateHost(c Config) error {
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

// tlsMode is the mode that the settings mean.
func (s Server) tlsMode(c Config) string {
	switch {
	case c.SSLMode != nil:
		return *c.SSLMode
	case s.Plaintext && c.RootCert == nil:
		return tlsPrefer
	case c.SelfSigned:
		return tlsRequire
	}
	return tlsVerifyFull
}
