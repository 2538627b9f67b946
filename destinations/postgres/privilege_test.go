package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/doctest"
)

// statements are those of a block of the destination's page, with the names of a place, for a role of its own.
func (p *place) statements(mark, role string) []string {
	p.Helper()
	u, err := url.Parse(p.url)
	require.NoError(p, err)
	text := strings.NewReplacer("<user>", role, "<password>", "planted-secret-password", "<database>", u.Path[1:], "<schema>", "shop", "<table>", "events").
		Replace(doctest.Read(p, "docs/destinations/postgres.md").Block(p, mark).Text)
	require.NotContains(p, text, "<")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// newRole names a role that is dropped with all that it may. Roles belong to the server, not to the database.
func (p *place) newRole() string {
	u, err := url.Parse(p.url)
	require.NoError(p, err)
	role := "humble_" + u.Path[1:]
	p.Cleanup(func() {
		ctx := context.WithoutCancel(p.Context())
		conn, err := pgx.Connect(ctx, p.url)
		require.NoError(p, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, fmt.Sprintf(`DROP OWNED BY %q CASCADE`, role))
		require.NoError(p, err)
		_, err = conn.Exec(ctx, fmt.Sprintf(`DROP ROLE %q`, role))
		require.NoError(p, err)
	})
	return role
}

// probe runs the connection test. The test's server has no TLS.
func (p *place) probe() error {
	p.Helper()
	for _, c := range p.open(p.server).Checks() {
		if err := c.Run(p.Context()); err != nil && c.Name != "Encrypt the connection" {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

// work does all that runs do: an interval, the same again with another row, and with none; and a run that is given up.
func (p *place) work() error {
	p.Helper()
	d := p.open(p.server)
	for _, name := range []string{"a", "b"} {
		if _, err := p.deliver(p.run(batch.ModelEvents, 0), reader(p.T, event{event: name})); err != nil {
			return err
		}
	}
	if _, err := d.Commit(p.Context(), p.run(batch.ModelEvents, 0), nil, &batch.Delivery{Rows: 1}); err != nil {
		return err
	}
	given := &journal{}
	if _, err := d.Stage(p.Context(), job(p.run(batch.ModelEvents, 1), 1, given), reader(p.T, event{})); err != nil {
		return err
	}
	return d.Abort(p.Context(), given.close())
}

// granted is a place whose user has the rights of some blocks of the page, and no others. What somebody else must have
// made before a block, is made.
func granted(t *testing.T, marks []string) (p *place, grants []string) {
	t.Helper()
	p = newPlace(t)
	role, others := p.newRole(), map[string]func(){
		"grants-on-a-table":    func() { p.sql(`CREATE TABLE shop.events (uuid uuid, team_id int, event text, timestamp timestamptz)`) },
		"grants-on-the-ledger": func() { require.NoError(t, p.work()) },
	}
	p.sql(`DO 'BEGIN EXECUTE format(''REVOKE ALL ON DATABASE %I FROM PUBLIC'', current_database()); END'`)
	for _, mark := range marks {
		if others[mark] != nil {
			others[mark]()
		}
		grants = p.statements(mark, role)
		p.sql(grants...)
	}
	p.config["user"] = role
	return p, grants
}

// grant is a statement that grants rights on something.
var grant = regexp.MustCompile(`^GRANT (.*) ON (.*) TO (.*);$`)

func TestTheGrantsOfTheDocumentationSufficeAndAreNeeded(t *testing.T) {
	t.Parallel()
	for name, marks := range map[string][]string{
		"a table that the service makes":  {"grants"},
		"a table that is there":           {"grants", "grants-on-a-table"},
		"a ledger that another user made": {"grants", "grants-on-a-table", "grants-on-the-ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, grants := granted(t, marks)
			require.NoError(t, p.probe())
			require.NoError(t, p.work())
			require.Equal(t, []string{"b"}, p.texts(`SELECT event FROM shop.events`))
			require.Empty(t, p.staged())

			for i, sql := range grants {
				parts := grant.FindStringSubmatch(sql)
				if parts == nil {
					continue
				}
				for right := range strings.SplitSeq(parts[1], ", ") {
					t.Run("without "+right, func(t *testing.T) {
						t.Parallel()
						p, grants := granted(t, marks)
						parts := grant.FindStringSubmatch(grants[i])
						p.sql(fmt.Sprintf(`REVOKE %s ON %s FROM %s`, right, parts[2], parts[3]))
						require.Equal(t, batch.CodePermission, batch.CodeOf(p.probe()), "the connection test says so")
						require.Equal(t, batch.CodePermission, batch.CodeOf(p.work()), "a run ends with it")
					})
				}
			}
		})
	}
}
