package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
)

// listedRefusals are the rows of the table of refusals in docs/errors.md: "400 validation_error required".
var listedRefusals = struct {
	sync.Once
	known map[string]bool
}{known: map[string]bool{}}

// requireListed requires that the page of errors tells of a refusal: every test that provokes one checks the page.
func requireListed(t *testing.T, status int, body any) {
	t.Helper()
	refusal, ok := body.(map[string]any)
	if status < http.StatusBadRequest || !ok || refusal["code"] == nil {
		return
	}
	listedRefusals.Do(func() {
		_, table, _ := strings.Cut(doctest.Read(t, "docs/errors.md").Text, "## Of requests")
		for line := range strings.SplitSeq(table, "\n") {
			cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
			if len(cells) < 5 {
				continue
			}
			for status := range strings.SplitSeq(cells[1], ",") {
				for code := range strings.SplitSeq(cells[3], ",") {
					listedRefusals.known[strings.Join([]string{strings.TrimSpace(status), strings.TrimSpace(cells[2]), strings.TrimSpace(code)}, " ")] = true
				}
			}
		}
	})
	row := strings.Join([]string{strconv.Itoa(status), refusal["type"].(string), refusal["code"].(string)}, " ")
	require.True(t, listedRefusals.known[row], "docs/errors.md does not list the refusal %s: %v", row, refusal["detail"])
}
