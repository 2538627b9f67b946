// Package clickhouse is a source that reads models from tables in ClickHouse, over its HTTP interface.
package clickhouse

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
	"tranche/query"
)

// Options say where the rows are. The names of tables and columns are the operator's and are quoted.
type Options struct {
	// DSN is clickhouse://user:password@host:8123,replica:8123/database, or the same with http or https. With
	// clickhouse, secure=true in the query asks for TLS; ca_file names a file of certificates, in PEM, that are trusted in
	// place of the system's. All further parameters are settings of ClickHouse's, sent with each query: max_memory_usage,
	// max_threads, max_bytes_to_read… It may hold a password and is never shown.
	//
	// Hosts are replicas of each other: a query that cannot be sent to one goes to the next.
	DSN string
	// Models with their tables; nil = PostHog's. Timestamps without a zone are taken for UTC.
	Models query.Catalog
	// Duplicates keeps events that repeat another's event, distinct_id and uuid. Without it one of them is read, which is
	// what a table that merges its duplicates away in its own time needs; it costs the server memory by the row.
	Duplicates bool
	// QueryTimeout ends a query on the server, reading a split included. 0 = 6 hours.
	QueryTimeout time.Duration
	// SplitRows is the number of rows below which it is not worth to cut a split off; 0 = 50,000.
	SplitRows int64
	// Allocator of the record batches; nil = Go's memory.
	Allocator memory.Allocator
	// Transport carries the requests; nil = one of the source's own.
	Transport http.RoundTripper
}

const (
	defaultDatabase     = "default"
	defaultQueryTimeout = 6 * time.Hour
	defaultSplitRows    = 50_000
	plainPort           = "8123"
	securePort          = "8443"
)

// An address is what a DSN says.
type address struct {
	replicas []string // scheme and host
	user     string
	password string
	database string
	settings map[string]string
	trusted  *x509.CertPool // nil = whom the system trusts
}

// reserved are the parameters of ClickHouse's HTTP interface that a DSN must not set: we do.
var reserved = []string{
	"query", "query_id", "default_format", "database", "user", "password", "compress", "decompress", "session_id", "quota_key",
	"buffer_size", "wait_end_of_query", "role", "readonly", "max_block_size", "session_timezone", "limit", "offset",
}

// forbidden says whether a DSN must not set the parameter. A limit that gives what there is so far would cut rows off
// unseen.
func forbidden(name string) bool {
	return slices.Contains(reserved, name) || strings.HasPrefix(name, "param_") || strings.Contains(name, "_overflow_mode")
}

// parse reads a DSN.
func parse(dsn string) (address, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return address{}, batch.Errorf(batch.CodeConfig, nil, "the address of the ClickHouse source is not valid")
	}
	a := address{user: u.User.Username(), database: strings.Trim(u.Path, "/"), settings: map[string]string{}}
	a.password, _ = u.User.Password()
	if a.database == "" {
		a.database = defaultDatabase
	}
	parameters := u.Query()
	if a.trusted, err = trusted(parameters.Get("ca_file")); err != nil {
		return address{}, err
	}
	parameters.Del("ca_file")
	secure := u.Scheme == "https"
	switch u.Scheme {
	case "http", "https":
	case "clickhouse":
		secure = parameters.Get("secure") == "true"
		parameters.Del("secure")
	default:
		return address{}, batch.Errorf(batch.CodeConfig, nil, "the address of the ClickHouse source must begin with clickhouse://, http:// or https://")
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if forbidden(name) {
			return address{}, batch.Errorf(batch.CodeConfig, nil, "the address of the ClickHouse source must not set %q", name)
		}
		a.settings[name] = parameters.Get(name)
	}
	if u.Host == "" {
		return address{}, batch.Errorf(batch.CodeConfig, nil, "the address of the ClickHouse source names no host")
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		a.replicas = append(a.replicas, replica(host, secure))
	}
	return a, nil
}

// trusted reads a file of certificates; "" = there is none.
func trusted(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // as the comment says
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, batch.Errorf(batch.CodeConfig, err, "the ca_file of the ClickHouse source cannot be read")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, batch.Errorf(batch.CodeConfig, nil, "the ca_file of the ClickHouse source has no certificate in PEM")
	}
	return pool, nil
}

// replica is the URL of a host, with the port that ClickHouse's HTTP interface has by default.
func replica(host string, secure bool) string {
	scheme, port := "http", plainPort
	if secure {
		scheme, port = "https", securePort
	}
	u := url.URL{Scheme: scheme, Host: host}
	if u.Port() == "" {
		u.Host += ":" + port
	}
	return u.String()
}
