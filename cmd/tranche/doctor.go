package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/storage"
)

// What a check found.
const (
	stateOK      = "ok"
	stateWarning = "warning" // it works, and somebody should know
	stateProblem = "problem"
	stateSkipped = "skipped" // what it needs is a problem itself
)

// A finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Advice string `json:"what_to_do,omitempty"`
}

const (
	// checkTimeout bounds one check.
	checkTimeout = 15 * time.Second
	// clockTolerance is how far clocks may be apart: leases and settle delays are longer by far.
	clockTolerance = 2 * time.Second
)

// A doctor examines the surroundings of the service, and changes nothing.
type doctor struct {
	config   config
	db       *storage.DB // nil = it does not open
	temporal *frontend   // nil = it does not answer
	findings []finding
}

func doctorCommand(getenv func(string) string) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check all that the service needs and say what to do; exit 1 if there is a problem", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if form != asTable && form != asJSON {
				return fmt.Errorf("--output must be %s or %s", asTable, asJSON)
			}
			d := &doctor{}
			d.examine(cmd.Context(), getenv, os.Environ())
			if err := d.report(cmd.OutOrStdout(), form); err != nil {
				return err
			}
			if n := d.count(stateProblem); n > 0 {
				return fmt.Errorf("%d of %d checks found a problem", n, len(d.findings))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", asTable, "table or json")
	return cmd
}

// examine runs all checks, those that others need first.
func (d *doctor) examine(ctx context.Context, getenv func(string) string, environ []string) {
	var err error
	if d.config, err = readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_MASTER_KEYS"); err != nil {
		d.problem("settings", err.Error(), `correct them; "tranche config" lists all of them`)
		return
	}
	d.checkNames(environ)
	d.checkDatabase(ctx)
	defer func() {
		if d.db != nil {
			_ = d.db.Close() // nothing was written
		}
	}()
	d.checkFileRoot()
	d.checkTemporal(ctx)
	if d.temporal != nil {
		defer d.temporal.Close()
	}
	d.checkSource(ctx)
}

func (d *doctor) add(check, state, detail, advice string) {
	d.findings = append(d.findings, finding{check, state, detail, advice})
}

func (d *doctor) ok(check, detail string) { d.add(check, stateOK, detail, "") }

func (d *doctor) problem(check, detail, advice string) { d.add(check, stateProblem, detail, advice) }

func (d *doctor) warn(check, detail, advice string) { d.add(check, stateWarning, detail, advice) }

func (d *doctor) skip(checks ...string) {
	for _, check := range checks {
		d.add(check, stateSkipped, "not checked", "")
	}
}

func (d *doctor) count(state string) (n int) {
	for _, f := range d.findings {
		if f.State == state {
			n++
		}
	}
	return n
}

func (d *doctor) report(out io.Writer, form string) error {
	if form == asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(d.findings)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CHECK\tSTATE\tFOUND")
	for _, f := range d.findings {
		lines := strings.Split(f.Detail, "\n")
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Check, f.State, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "\t\t%s\n", line)
		}
		if f.Advice != "" {
			for i, line := range strings.Split("to do: "+f.Advice, "\n") {
				fmt.Fprintf(w, "\t\t%s%s\n", strings.Repeat(" ", 2*min(i, 1)), line)
			}
		}
	}
	return w.Flush()
}

// foreign are the names of others that begin like settings: of the client commands, and of our tests.
var foreign = []string{"TRANCHE_URL", "TRANCHE_API_KEY", "TRANCHE_PROFILE", "TRANCHE_PROJECT", "TRANCHE_TEST_"}

// checkNames finds what is set and does nothing: a typing error.
func (d *doctor) checkNames(environ []string) {
	var unknown []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, settingsPrefix) && !isSetting(name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		d.warn("settings", "no setting has the name "+strings.Join(unknown, ", "), `correct or remove it; "tranche config" lists all of them`)
		return
	}
	d.ok("settings", "all of them are valid")
}

func isSetting(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return name == s.name || s.secret && name == s.name+secretFile }) ||
		slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// checkDatabase looks at Tranche's own database.
func (d *doctor) checkDatabase(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	db, err := openDatabase(ctx, d.config)
	if err != nil {
		d.problem("database", err.Error(), "correct TRANCHE_DATABASE_URL or TRANCHE_MASTER_KEYS")
		d.skip("migrations", "master keys", "clock of the database")
		return
	}
	d.db = db
	began := time.Now()
	now, err := db.Clock(ctx)
	if err != nil {
		d.problem("database", "it does not answer: "+err.Error(), "check that TRANCHE_DATABASE_URL is right, that the server runs, and that it lets us in")
		d.skip("migrations", "master keys", "clock of the database")
		return
	}
	d.ok("database", fmt.Sprintf("it answers within %s", time.Since(began).Round(time.Millisecond)))
	d.checkMigrations(ctx)
	d.checkClock("clock of the database", now, began, time.Now())
}

func (d *doctor) checkMigrations(ctx context.Context) {
	status, err := d.db.MigrationStatus(ctx)
	switch _, tooNew := errors.AsType[*storage.VersionError](err); {
	case tooNew:
		d.problem("migrations", err.Error(), "install the newer version here")
	case err != nil:
		d.problem("migrations", err.Error(), "check the rights of the user in TRANCHE_DATABASE_URL")
	case status.Strangers > 0:
		d.problem("migrations", fmt.Sprintf("the database has nothing of ours, and %d tables of something else", status.Strangers),
			"correct TRANCHE_DATABASE_URL: the service wants a database, or a schema (search_path), of its own")
	case !status.Current():
		d.problem("migrations", fmt.Sprintf("the database lacks %v", status.Missing), `run "tranche migrate up"`)
	default:
		d.ok("migrations", fmt.Sprintf("the database is at %d, this binary at %d", status.Database, status.Binary))
		d.checkKeys(ctx)
		return
	}
	d.skip("master keys")
}

func (d *doctor) checkKeys(ctx context.Context) {
	if err := d.db.CheckKeys(ctx); err != nil {
		d.problem("master keys", err.Error(), `see "tranche secrets status"`)
		return
	}
	uses, err := d.db.KeyUses(ctx)
	if err != nil {
		d.problem("master keys", err.Error(), "check the rights of the user in TRANCHE_DATABASE_URL")
		return
	}
	var behind, all int64
	for _, u := range uses {
		all += u.Records
		if !u.Newest {
			behind += u.Records
		}
	}
	if behind > 0 {
		d.warn("master keys", fmt.Sprintf("they open what is stored, %d of %d records are under older ones", behind, all), `run "tranche secrets rotate"`)
		return
	}
	d.ok("master keys", fmt.Sprintf("they open what is stored: %d records", all))
}

// checkClock compares a clock with ours, which showed began before the other was asked and ended after.
func (d *doctor) checkClock(check string, other, began, ended time.Time) {
	var skew time.Duration
	switch {
	case other.Before(began):
		skew = began.Sub(other)
	case other.After(ended):
		skew = other.Sub(ended)
	}
	detail := fmt.Sprintf("it is at most %s from ours", (skew + ended.Sub(began)).Round(time.Millisecond))
	if skew > clockTolerance {
		d.problem(check, fmt.Sprintf("it is %s from ours", skew.Round(time.Millisecond)), "let both machines keep their time by NTP")
		return
	}
	d.ok(check, detail)
}

// checkFileRoot looks at the folder of File destinations.
func (d *doctor) checkFileRoot() {
	root := d.config.FileRoot
	if root == "" {
		return
	}
	info, err := os.Stat(root)
	if err != nil || !info.IsDir() {
		d.problem("file root", root+" is no folder", "make it, or mount it, the same one for all workers")
		return
	}
	probe, err := os.CreateTemp(root, ".doctor-*")
	if err != nil {
		d.problem("file root", fmt.Sprintf("%s: %v", root, reasonOf(err)), "give the user of this process the right to write there")
		return
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		d.problem("file root", fmt.Sprintf("%s: %v", root, reasonOf(err)), "check the file system")
		return
	}
	d.ok("file root", root+" can be written to")
}

// explained is what an error says to people; several errors have a line each.
func explained(err error) string {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range all.Unwrap() {
			lines = append(lines, explained(e))
		}
		return strings.Join(withoutRepeats(lines), "\n")
	}
	e, ok := errors.AsType[*batch.Error](err)
	switch {
	case !ok:
		return err.Error()
	case e.Err != nil:
		return fmt.Sprintf("%s (%v)", e.Message, e.Err)
	}
	return e.Message
}

// withoutRepeats lets only the last of neighbours tell what a table has.
func withoutRepeats(lines []string) []string {
	const tail = "; it has "
	for i := range len(lines) - 1 {
		missing, has, ok := strings.Cut(lines[i], tail)
		if ok && strings.HasSuffix(lines[i+1], tail+has) {
			lines[i] = missing
		}
	}
	return lines
}
