package api_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tranche/internal/pgtest"
)

// postgresql is started by the first benchmark that needs it.
var postgresql pgtest.Server

// TestMain requires that no request, whatever became of it, has left a goroutine behind.
func TestMain(m *testing.M) {
	code := postgresql.Run(m)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
