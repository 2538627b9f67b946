package sourcetest

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/query"
)

// Hostile are texts that would end a name, a constant or a statement if they ever became SQL.
func Hostile() []string {
	return []string{
		`'`, `"`, "`", `\`, `\'`, `''`, `"" OR 1=1`, `' OR '1'='1`, `' OR team_id = 8 --`, `') OR (team_id = 8`, `'; DROP TABLE events; --`,
		`"; DROP TABLE events; --`, "`; DROP TABLE events; --", `\'; DROP TABLE events; --`, `*/ OR 1=1 /*`, `/* comment`, `-- comment`, `# comment`,
		`$$ OR 1=1 $$`, `$1`, `$2::text`, `?`, `:name`, `@1`, `@*`, `#`, `{p1:String}`, `{data_interval_start}`, `{}`, `%s %d %(hogql_val_0)s`, `%' OR '%`,
		`' UNION ALL SELECT * FROM events --`, `(SELECT version())`, `pg_sleep(10)`, `${jndi:ldap://x}`, `{{7*7}}`, "line\nbreak", "tab\t", "\r\n",
		"\u2019 OR 1=1", "\u02bc", "\uff07 OR 1=1", "\u202e' --", "e\u0301", "\u00a0", "\u200b", "日本語'", "🏴‍☠️", `\u0027 OR 1=1`, `\x27 OR 1=1`, `%27 OR 1=1`, `''''''''`, `"""""`,
		`null`, `NULL`, `true`, `0`, `-1`, `1e999`, `[]`, `../../x`, `a.b`, `$.a`, `$[*]`, `/a/b`, `~0~1`, `**`, `.*`, `(?i)x`, `***=x`, `***:x`, `(`, `)`, `[`, `]`, `|`, `^$`, `\b`, `\\`, `\1`,
	}
}

// hostile uses each text as a key, a name, a value and a pattern. The rows hold it too, in both teams.
func (a agreement) hostile(ctx context.Context, t *testing.T) {
	t.Helper()
	more := []Row{}
	for i, text := range Hostile() {
		for n, id := range []int64{team, otherTeam} {
			r := row(10_000+2*i+n, hour.Start)
			r.TeamID, r.Event, r.Properties = id, text, compact(map[string]any{text: text, "plan": "pro"})
			more = append(more, r)
		}
	}
	a.Seed(t, more)
	a.rows = append(a.rows, more...)
	for _, text := range Hostile() {
		t.Run(text, func(t *testing.T) {
			s, err := query.ParseSelect(fmt.Sprintf("SELECT properties.%s AS %s, event || %s AS v FROM events WHERE event = %s OR match(event, %s) OR event LIKE %s",
				query.QuoteName(text), query.QuoteName(text), query.QuoteText(text), query.QuoteText(text),
				query.QuoteText(regexp.QuoteMeta(text)), query.QuoteText("%"+text)), query.PostHog())
			require.NoError(t, err)
			require.Equal(t, text, s.Columns[0].Name)
			a.compare(ctx, t, []query.Expr{s.Columns[0].Expr, s.Columns[1].Expr}, s.Where)
			var conditions []query.Expr
			for _, operator := range query.Operators() {
				value := text
				switch operator {
				case "regex", "not_regex":
					value = regexp.QuoteMeta(text)
				case "is_date_exact", "is_date_before", "is_date_after":
					value = "2026-01-01"
				}
				conditions = append(conditions, compiled(t, compact([]any{map[string]any{"type": "event", "key": text, "operator": operator, "value": value}})))
			}
			a.compare(ctx, t, conditions, nil)
		})
	}
}
