package api_test

import (
	"os"
	"testing"

	"tranche/internal/pgtest"
)

// postgresql is started by the first benchmark that needs it.
var postgresql pgtest.Server

func TestMain(m *testing.M) { os.Exit(postgresql.Run(m)) }
