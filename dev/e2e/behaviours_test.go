package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/objects"
	database "tranche/destinations/postgres"
	s3 "tranche/destinations/s3"
	"tranche/dev/stack"
	"tranche/internal/auth"
	"tranche/internal/safenet"
	"tranche/query"
)

// TestBehaviours has the behaviours that clients of PostHog's batch exports rely on, one test for each, by section and
// number, over HTTP against the whole stack. What differs by design, and what needs something that is not there, is listed
// with its reason in docs/compatibility.md; each number is either tested here or listed there.
func TestBehaviours(t *testing.T) {
	t.Parallel()
	ground := newGround(t)
	tested := map[string]bool{}
	sections := []behaviours{
		behavioursOfCreate, behavioursOfReading, behavioursOfUpdate, behavioursOfPause, behavioursOfRuns, behavioursOfBackfills,
		behavioursOfProgress, behavioursOfDestinations, behavioursOfQueries,
	}
	for _, section := range append(sections, behavioursAtWork) {
		for name := range section {
			number, _, _ := strings.Cut(name, ":")
			require.False(t, tested[number], "%s twice", number)
			tested[number] = true
		}
	}
	for _, section := range sections {
		for name, behave := range section {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				behave(ground.tenant(t))
			})
		}
	}
	t.Run("at work", func(t *testing.T) {
		t.Parallel()
		for name, behave := range behavioursAtWork {
			t.Run(name, func(t *testing.T) { behave(ground.tenant(t)) }) //nolint:paralleltest // they hold the worker's slots
		}
	})
	t.Run("each number is tested or explained", func(t *testing.T) {
		t.Parallel()
		explained := explainedBehaviours(t)
		for number := range explained {
			require.False(t, tested[number], "%s is tested: docs/compatibility.md need not explain it", number)
		}
		for _, number := range behaviourNumbers() {
			require.True(t, tested[number] || explained[number], "%s is neither tested nor explained", number)
		}
	})
}

type behaviours map[string]func(p *tenant)

// behaviourNumbers lists all behaviours, as A1; the numbers have gaps.
func behaviourNumbers() []string {
	var all []string
	for section, numbers := range map[string]string{
		"A": "1 2 4 5 6 8 9 10 12 13 14 16 17 18 20 21 22 24 25 26 28 29 30 32 33 34 36",
		"B": "37 38 40 41 42", "C": "44 45 46 48 49 50 52 53 54 56 57 58 60", "D": "61 62 64 65 66 68 69 70 72 73 74",
		"E": "76 77 78 80 81 82 84 85 86", "F": "88 89 90 92 93 94 96 97 98 100 101 102 104", "G": "105 106 108 109 110",
		"H": "112 113 114 116 117 118 120 121", "I": "122 124 125 126 128 129 130 132 133 134 136 137 138 140 141 142 144 145 146",
		"J": "148 149 150 152 153 154 156 157 158 160 161 162 164 165 166 168", "K": "169 170 172 173 174 176 177 178", "L": "180",
		"M": "181 182 184 185 186 188 189 190", "N": "192 193 194 196 197 198 200 201 202 204 205 206 208 209 210",
	} {
		for number := range strings.FieldsSeq(numbers) {
			all = append(all, section+number)
		}
	}
	return all
}

// explainedBehaviours reads the first column of the tables in docs/compatibility.md.
func explainedBehaviours(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.Open(filepath.Join("..", "..", "docs", "compatibility.md"))
	require.NoError(t, err)
	defer page.Close()
	number := regexp.MustCompile(`^[A-N][0-9]+$`)
	explained := map[string]bool{}
	for lines := bufio.NewScanner(page); lines.Scan(); {
		cells := strings.Split(lines.Text(), "|")
		if len(cells) < 3 {
			continue
		}
		for cell := range strings.SplitSeq(cells[1], ",") {
			if cell = strings.TrimSpace(cell); number.MatchString(cell) {
				explained[cell] = true
			}
		}
	}
	return explained
}

// A ground is the stack that all behaviours share. Nothing is mended in it, so that runs can be made up.
type ground struct {
	*inProcess
	mu       sync.Mutex
	projects int64
}

// Projects with events; all others are empty.
const (
	projectWithHours = 900
	projectWithBulk  = 901
)

const foreignKey = "the-key-of-another-organization"

func newGround(t *testing.T) *ground {
	t.Helper()
	m := newEventMaker(77)
	events := m.within(epoch, 3*time.Hour, 60)
	for i := range events {
		events[i].Team = projectWithHours
	}
	bulk := m.within(epoch, time.Hour, 10_000)
	for i := range bulk {
		bulk[i].Team, bulk[i].Properties = projectWithBulk, `{"text":"`+strings.Repeat("x", 1000)+`"}`
	}
	g := &ground{projects: 10}
	g.inProcess = startStackWith(t, append(events, bulk...), func(o *stack.Options) {
		o.Housekeeping = stack.Housekeeping{Every: time.Hour, Grace: time.Hour}
	}, append(checkedOnly(), fussy(t.TempDir()))...)
	require.NoError(t, g.DB().EnsureProject(t.Context(), 2, 9, 9))
	require.NoError(t, g.DB().CreateKey(t.Context(), auth.Key{
		ID: uuid.New(), Hash: auth.Hash(foreignKey), OrganizationID: 2, UserID: 9, Scopes: []auth.Scope{auth.ScopeAll}, CreatedAt: time.Now(),
	}))
	return g
}

// checkedOnly are the kinds of destination whose servers are not needed here: their settings are checked, and that is all.
func checkedOnly() []destinations.Plugin {
	guard := safenet.Guard{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "db.example.com" || host == "s3.example.com" {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return nil, errors.New("no such host")
	}}
	return []destinations.Plugin{
		s3.AWS(s3.Server{Guard: guard}), s3.Compatible(s3.Server{Guard: guard}), s3.Plugin(s3.Server{Guard: guard}),
		database.Plugin(database.Server{Guard: guard}),
	}
}

// fussy is a destination that refuses one hour.
func fussy(root string) destinations.Plugin {
	return destinations.Define(destinations.Definition[file.Config]{
		Type: "Fussy", Name: "a fussy one", Guarantee: destinations.AtomicObjects,
		Columns: func(_ file.Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Open: func(ctx context.Context, _ file.Config) (destinations.Destination, error) {
			inner, err := file.Plugin(file.Server{Root: root}).Open(ctx, map[string]any{})
			return fussyDestination{inner}, err
		},
	})
}

type fussyDestination struct{ destinations.Destination }

// Stage refuses the first hour.
func (d fussyDestination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	if job.Interval.Start.Equal(epoch) {
		return destinations.Receipt{}, batch.Errorf(batch.CodePermission, nil, "the first hour is refused")
	}
	return d.Destination.Stage(ctx, job, records)
}

// A tenant is a project of its own for one behaviour.
type tenant struct {
	*caller
	ground  *ground
	project int64
	exports string
	sibling string // the exports of another project of the same organization
}

func (g *ground) tenant(t *testing.T) *tenant {
	t.Helper()
	g.mu.Lock()
	g.projects++
	project := g.projects
	g.mu.Unlock()
	return g.tenantOf(t, project)
}

// tenantOf is the tenant of a project that only one behaviour uses.
func (g *ground) tenantOf(t *testing.T, project int64) *tenant {
	t.Helper()
	require.NoError(t, g.DB().EnsureProject(t.Context(), 1, project, 1))
	return &tenant{
		caller: &caller{t: t, base: g.URL(), key: g.Key}, ground: g, project: project,
		exports: "/api/projects/" + strconv.FormatInt(project, 10) + "/batch_exports", sibling: "/api/projects/1/batch_exports",
	}
}

// of is the same tenant in another project, for a behaviour that needs its events.
func (p *tenant) of(project int64) *tenant {
	p.t.Helper()
	return p.ground.tenantOf(p.t, project)
}

// A reply is what the API said.
type reply struct {
	t      *testing.T
	status int
	body   []byte
}

func (p *tenant) send(method, path, body string) reply {
	p.t.Helper()
	return p.sendAs(p.key, method, path, body)
}

func (p *tenant) sendAs(key, method, path, body string) reply {
	p.t.Helper()
	as := &caller{t: p.t, base: p.base, key: key}
	var in any
	if body != "" {
		in = json.RawMessage(body)
	}
	status, answer := as.call(method, path, in)
	return reply{p.t, status, answer}
}

func (p *tenant) get(path string) reply { p.t.Helper(); return p.send(http.MethodGet, path, "") }
func (p *tenant) post(path, body string) reply {
	p.t.Helper()
	return p.send(http.MethodPost, path, body)
}

func (p *tenant) patch(path, body string) reply {
	p.t.Helper()
	return p.send(http.MethodPatch, path, body)
}

// is checks the status.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, "%s", r.body)
	return r
}

// says checks the status and the exact body.
func (r reply) says(status int, body string) { //nolint:unparam // it reads better with the status
	r.t.Helper()
	r.is(status)
	require.JSONEq(r.t, body, string(r.body))
}

// invalid checks for a validation error whose detail begins so; an empty attr means null.
func (r reply) invalid(code, detail, attr string) {
	r.t.Helper()
	e := r.is(http.StatusBadRequest).problem()
	require.Equal(r.t, "validation_error", e.Type)
	require.Equal(r.t, code, e.Code)
	require.True(r.t, strings.HasPrefix(e.Detail, detail), "%s: %s", detail, e.Detail)
	if attr == "" {
		require.Nil(r.t, e.Attr)
		return
	}
	require.NotNil(r.t, e.Attr)
	require.Equal(r.t, attr, *e.Attr)
}

func (r reply) problem() apiError {
	r.t.Helper()
	var e apiError
	require.NoError(r.t, json.Unmarshal(r.body, &e), "%s", r.body)
	return e
}

// at walks down the body.
func (r reply) at(path ...string) any {
	r.t.Helper()
	var value any
	require.NoError(r.t, json.Unmarshal(r.body, &value), "%s", r.body)
	for _, name := range path {
		object, ok := value.(map[string]any)
		require.True(r.t, ok, "%v: %s", path, r.body)
		value = object[name]
	}
	return value
}

func (r reply) text(path ...string) string {
	r.t.Helper()
	text, ok := r.at(path...).(string)
	require.True(r.t, ok, "%v: %s", path, r.body)
	return text
}

// ids are those of a page.
func (r reply) ids() []string {
	r.t.Helper()
	r.is(http.StatusOK)
	var page struct{ Results []struct{ ID string } }
	require.NoError(r.t, json.Unmarshal(r.body, &page))
	ids := make([]string, len(page.Results))
	for i, result := range page.Results {
		ids[i] = result.ID
	}
	return ids
}

// draft is a valid body; further fields, as in `"interval": "day"`, replace those of the same name.
func draft(fields ...string) string {
	object := map[string]json.RawMessage{}
	for _, text := range append([]string{`"name": "my export", "interval": "hour"`, to("File")}, fields...) {
		var more map[string]json.RawMessage
		if err := json.Unmarshal([]byte("{"+text+"}"), &more); err != nil {
			panic(err)
		}
		for name, value := range more {
			object[name] = value
		}
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// to is the destination of a draft; settings are `"name": value`.
func to(kind string, settings ...string) string {
	return fmt.Sprintf(`"destination": {"type": %q, "config": {%s}}`, kind, strings.Join(settings, ","))
}

// Settings that are valid.
const (
	keysOfBucket = `"aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cr3t"`
	bucket       = `"bucket_name": "b", "region": "us-east-1", "prefix": "p/", ` + keysOfBucket
	endpoint     = `"endpoint_url": "https://s3.example.com"`
	table        = `"user": "u", "password": "s3cr3t", "host": "db.example.com", "database": "d"`
)

// created makes an export that is paused, unless fields say otherwise, and returns its path.
func (p *tenant) created(fields ...string) string {
	p.t.Helper()
	return p.exports + "/" + p.post(p.exports, draft(append([]string{`"paused": true`}, fields...)...)).is(http.StatusCreated).text("id")
}

// stored is the export at a path with its secrets.
func (p *tenant) stored(path string) batch.Export {
	p.t.Helper()
	e, err := p.ground.DB().Export(p.t.Context(), p.project, idOf(path))
	require.NoError(p.t, err)
	return e
}

// idOf is the id at the end of an export's path.
func idOf(path string) uuid.UUID { return uuid.MustParse(path[strings.LastIndex(path, "/")+1:]) }

// elsewhere is the path of the same export in a sibling project.
func (p *tenant) elsewhere(path string) string {
	return p.sibling + strings.TrimPrefix(path, p.exports)
}

// begin makes up a run of the export at a path: one that no workflow knows of.
func (p *tenant) begin(path string, change func(*batch.Run)) batch.Run {
	p.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := batch.Run{
		ID: uuid.New(), ExportID: idOf(path), TeamID: p.project, Status: batch.RunRunning, Revision: 1, Attempt: 1,
		Interval:  batch.Interval{Start: epoch, End: epoch.Add(time.Hour)},
		CreatedAt: now, LastUpdatedAt: now, TemporalRunID: uuid.NewString(),
	}
	r.WorkflowID = batch.WorkflowID(r.ExportID, r.Interval.End)
	if change != nil {
		change(&r)
	}
	r, _, err := p.ground.DB().BeginRun(p.t.Context(), r)
	require.NoError(p.t, err)
	return r
}

// backfillOf makes up a backfill of ten hours of the export at a path: one that no workflow knows of.
func (p *tenant) backfillOf(path string, change func(*batch.Backfill)) batch.Backfill {
	p.t.Helper()
	now, start, end := time.Now().UTC().Truncate(time.Microsecond), epoch, epoch.Add(10*time.Hour)
	b := batch.Backfill{
		ID: uuid.Must(uuid.NewV7()), ExportID: idOf(path), TeamID: p.project, StartAt: &start, EndAt: &end,
		Status: batch.BackfillRunning, Concurrency: 1, CreatedAt: now, LastUpdatedAt: now,
	}
	if change != nil {
		change(&b)
	}
	require.NoError(p.t, p.ground.DB().CreateBackfill(p.t.Context(), b, 1000))
	return b
}
