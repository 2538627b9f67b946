package temporal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/headers"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives/timestamp"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

const (
	clusterName = "active"
	// retention is how long closed workflows stay visible.
	retention = 30 * 24 * time.Hour
)

// A VersionError says that the state was made by another version of the server. Temporal cannot migrate SQLite: the
// server would start, and lack tables and columns without a word.
type VersionError struct {
	Dir   string
	Found string // "" = not known
	Want  string
}

// Error says what to do.
func (e *VersionError) Error() string {
	found := "an unknown version"
	if e.Found != "" {
		found = "version " + e.Found
	}
	return fmt.Sprintf("the Temporal state in %s was made by %s of the server and this is %s: "+
		"move the directory away to start anew, or use the binary that made it", e.Dir, found, e.Want)
}

// openDatabase makes the SQLite file in dir, unless it exists, with the namespace in it.
func openDatabase(dir string, attributes map[string]enumspb.IndexedValueType) (*config.SQL, error) {
	path := filepath.Join(dir, "temporal.db")
	versionPath := filepath.Join(dir, "temporal.version")
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		// The version goes first: a file without one must not come to be.
		if err := os.WriteFile(versionPath, []byte(headers.ServerVersion+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("record the server's version: %w", err)
		}
		if err := createDatabase(path); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("open the Temporal database: %w", err)
	default:
		if err := checkVersion(dir, versionPath); err != nil {
			return nil, err
		}
	}

	database := sqlConfig(path, "wal", "normal")
	return database, createNamespace(database, attributes)
}

// createNamespace makes the namespace, unless it is there.
func createNamespace(database *config.SQL, attributes map[string]enumspb.IndexedValueType) error {
	namespace, err := sqliteschema.NewNamespaceConfig(clusterName, Namespace, false, attributes)
	if err != nil {
		return fmt.Errorf("define the namespace: %w", err)
	}
	namespace.Detail.Config.Retention = timestamp.DurationFromHours(int64(retention / time.Hour))
	if err := sqliteschema.CreateNamespaces(database, namespace); err != nil {
		return fmt.Errorf("create the namespace: %w", err)
	}
	return nil
}

// checkVersion compares the version beside an existing file with the server's.
func checkVersion(dir, versionPath string) error {
	text, err := os.ReadFile(versionPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the server's version: %w", err)
	}
	if found := strings.TrimSpace(string(text)); found != headers.ServerVersion {
		return &VersionError{Dir: dir, Found: found, Want: headers.ServerVersion}
	}
	return nil
}

// createDatabase builds the schema in a file aside and renames it: building is not atomic.
func createDatabase(path string) error {
	aside := path + ".new"
	for _, stale := range []string{aside, aside + "-journal"} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a half-made database: %w", err)
		}
	}
	if err := sqliteschema.SetupSchema(sqlConfig(aside, "delete", "off")); err != nil {
		return fmt.Errorf("create the Temporal database: %w", err)
	}
	return os.Rename(aside, path)
}

// sqlConfig is the server's configuration for the file. More than one connection gives "database is locked".
func sqlConfig(path, journal, synchronous string) *config.SQL {
	return &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: path,
		MaxConns:     1,
		MaxIdleConns: 1,
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"busy_timeout": "10000",
			"journal_mode": journal,
			"synchronous":  synchronous,
		},
	}
}
