package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Every test of this package searches what it provokes for the secrets that are about, whatever else it is for: the answers
// of the API, the logs and the output of each process, and the files of SQLite, in which histories are.

// planted are the secrets that tests have given to somebody so far: those of the service, and those of customers.
var planted = struct {
	sync.Mutex
	all []string
}{all: []string{theKey, theCursorKey}}

// theCursorKey signs the cursors of services.
const theCursorKey = "the-secret-of-cursors"

// shortestSecret keeps words out that are in a log anyway.
const shortestSecret = 12

// plant tells all tests of a secret.
func plant(secrets ...string) {
	planted.Lock()
	defer planted.Unlock()
	for _, secret := range secrets {
		if len(secret) >= shortestSecret {
			planted.all = append(planted.all, secret)
		}
	}
}

// requireNothingPlanted fails the test when a text holds a planted secret. It works at the end of a test too.
func requireNothingPlanted(t *testing.T, what string, text []byte) {
	t.Helper()
	planted.Lock()
	defer planted.Unlock()
	for _, secret := range planted.all {
		if i := bytes.Index(text, []byte(secret)); i >= 0 {
			t.Errorf("%s hold a secret that was planted, %s…: %q", what, secret[:4], text[max(0, i-200):i])
		}
	}
}

// requireNothingPlantedIn looks into all files of a folder whose names begin so: those of SQLite.
func requireNothingPlantedIn(t *testing.T, dir string, prefixes ...string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for _, prefix := range prefixes {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			looked++
			requireNothingPlanted(t, "the file "+name, content)
		}
		return nil
	})
	if err != nil || looked == 0 {
		t.Errorf("look into %d files of %s: %v", looked, dir, err)
	}
}

// requireNothingPlanted looks into what a process of ours has said. Commands about keys print them.
func (p *program) requireNothingPlanted(path string, args []string) {
	p.t.Helper()
	if path != programs.dev && path != programs.service {
		return
	}
	requireNothingPlanted(p.t, "the log of "+filepath.Base(path)+" "+args[0], []byte(p.stderr.String()))
	if path == programs.service && args[0] != "keys" {
		requireNothingPlanted(p.t, "what tranche "+args[0]+" prints", []byte(p.stdout.String()))
	}
}

// keeper is a test that tells where its folder is.
type keeper struct {
	*testing.T
	dir string
}

// TempDir is testing.TB's.
func (k *keeper) TempDir() string {
	k.dir = k.T.TempDir()
	return k.dir
}
