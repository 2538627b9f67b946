package tables

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tranche/batch"
	"tranche/destinations"
)

// LedgerName is the table beside the customer's that says what was delivered.
const LedgerName = "tranche_deliveries"

// stagingPrefix is what the names of staging tables begin with. No customer's table may.
const stagingPrefix = "tranche_stage_"

var stagingName = regexp.MustCompile(`^` + stagingPrefix + `[0-9a-f]{32}(_[0-9]{1,10}){3}$`)

// Reserved says whether a table of this name would be in the way of what deliveries need.
func Reserved(table string) bool {
	return strings.HasPrefix(table, stagingPrefix) || table == LedgerName
}

// StagingName is the table of one attempt of a split. It fits the shortest limit of names, that of PostgreSQL.
func StagingName(job destinations.Job) string { return SplitName(job) + strconv.Itoa(job.Attempt) }

// SplitName is what the names of the tables of all attempts of a split begin with.
func SplitName(job destinations.Job) string {
	run := strings.ReplaceAll(job.ID.String(), "-", "")
	return fmt.Sprintf("%s%s_%d_%d_", stagingPrefix, run, job.Generation, job.Split)
}

// RefOf is the journal's entry of a staging table.
func RefOf(schema, name string) destinations.Ref { return destinations.Ref(schema + "." + name) }

// SplitRef takes the entry apart. It refuses whatever is no staging table: what the journal names is dropped.
func SplitRef(ref destinations.Ref) (schema, name string, err error) {
	text := string(ref)
	dot := strings.LastIndexByte(text, '.')
	if dot < 1 || !stagingName.MatchString(text[dot+1:]) {
		return "", "", batch.Errorf(batch.CodeInternal, nil, "the journal names something that is no staging table")
	}
	return text[:dot], text[dot+1:], nil
}
