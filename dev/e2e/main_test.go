// Package e2e tests Tranche from outside: the programs are built, started, killed and asked over HTTP, and what they
// delivered is read from the disk. What only Temporal or the database can tell is asked of a stack inside the test.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tranche/dev/clickhouse/clickhousetest"
	"tranche/internal/pgtest"
)

// programs are the paths of the programs under test, built once by TestMain.
var programs struct{ dev, service string }

// postgres is shared; each test that needs one has databases of its own.
var postgres pgtest.Server

// clickhouse is shared likewise.
var clickhouse clickhousetest.Server

func TestMain(m *testing.M) {
	if clickhousetest.Serving() {
		os.Exit(clickhouse.Run(m))
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tranche-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	defer postgres.Stop()
	return clickhouse.Run(m)
}

// build makes both programs as the Makefile does: the service without cgo.
func build(dir string) error {
	programs.dev, programs.service = filepath.Join(dir, "tranche-dev"), filepath.Join(dir, "tranche")
	for _, b := range []struct{ module, cgo, tags, out, source string }{
		{"..", "1", "", programs.dev, "./cmd/tranche-dev"},
		{filepath.Join("..", ".."), "0", "", programs.service, "./cmd/tranche"},
	} {
		compile := exec.Command("go", "build", "-p", "2", "-tags", b.tags, "-o", b.out, b.source)
		compile.Dir = b.module
		compile.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := compile.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", b.source, err, out)
		}
	}
	return nil
}
