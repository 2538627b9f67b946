package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tranche/dev/duckdb"
	"tranche/dev/duckdb/engine"
)

// store is the file of events for these options.
func (o options) store() string {
	of := "generated"
	if o.events != "" {
		of = strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' {
				return '_'
			}
			return r
		}, filepath.Base(o.events))
	}
	return filepath.Join(o.dir, fmt.Sprintf("%s-%d.duckdb", of, o.rows))
}

// prepare makes the store, unless it is there from before.
func prepare(ctx context.Context, o options, log io.Writer) error {
	if _, err := os.Stat(o.store()); err == nil {
		return nil
	}
	_, _ = fmt.Fprintf(log, "Making %s…\n", o.store()) // progress for who watches
	making := o.store() + ".making"
	for _, old := range []string{making, making + ".wal"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := makeStore(ctx, o, making); err != nil {
		return err
	}
	return os.Rename(making, o.store())
}

func makeStore(ctx context.Context, o options, path string) error {
	s, err := duckdb.Open(ctx, path, duckdb.Options{Threads: o.threads})
	if err != nil {
		return err
	}
	if o.events != "" {
		if _, err := s.Load(ctx, o.events); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	database, err := engine.Open(path, map[string]string{"memory_limit": "2GB"})
	if err != nil {
		return err
	}
	defer database.Close()
	c, err := database.Connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if o.events == "" {
		if _, err = c.Exec(ctx, generate, min(o.rows, generated)); err != nil {
			return err
		}
	}
	return multiply(ctx, c, o.rows)
}

// multiply adds copies under new ids until there are as many rows as asked for.
func multiply(ctx context.Context, c *engine.Conn, rows int64) error {
	have, err := integer(ctx, c, "SELECT count(*) FROM events")
	if err != nil || have == 0 {
		return err
	}
	for have < rows {
		added, err := c.Exec(ctx, `INSERT INTO events
			SELECT CAST(md5(uuid::VARCHAR || ?) AS UUID), events.* EXCLUDE (uuid) FROM events LIMIT ?`, have, min(have, rows-have))
		if err != nil {
			return err
		}
		have += added
	}
	return nil
}

// integer runs a query of one BIGINT.
func integer(ctx context.Context, c *engine.Conn, sql string) (int64, error) {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	chunk, err := rows.Next(ctx)
	if err != nil || chunk == nil {
		return 0, errors.Join(err, fmt.Errorf("no answer to %s", sql))
	}
	defer chunk.Close()
	return chunk.Column(0).Int64(0), nil
}

// generated is how many events are made one by one. Copies of them, so far from each other, compress no better.
const generated = 1_000_000

// generate makes events like those of a product: ids that never repeat, a few names, many people, some hundred bytes of
// JSON. The same number always gives the same events.
const generate = `INSERT INTO events
SELECT
	CAST(md5('event ' || i) AS UUID),
	1,
	list_extract(['$pageview', '$pageview', '$pageview', '$autocapture', '$autocapture', '$pageleave', 'sign up',
		'purchase', 'search', 'file uploaded', '$identify', 'invoice paid'], 1 + CAST(h % 12 AS INTEGER)),
	'user-' || (p % 50000),
	make_timestamp(1767225600000000 + i * 25920),
	make_timestamp(1767225600000000 + i * 25920 + 1000000 + CAST(h % 4000000 AS BIGINT)),
	make_timestamp(1767225600000000 + i * 25920 + 1000000 + CAST(h % 4000000 AS BIGINT)),
	printf('{"$current_url":"https://shop.example.com/%s/%d?utm_source=%s&ref=%x","$pathname":"/%s/%d","$browser":"%s",' ||
		'"$browser_version":%d,"$os":"%s","$screen_width":%d,"$screen_height":%d,"$referrer":"https://search.example.com/?q=%x",' ||
		'"$session_id":"%s","$window_id":"%x","$lib":"web","$lib_version":"1.%d.%d","$ip":"10.%d.%d.%d",' ||
		'"price":%d.%02d,"title":"It said \"hello\" to %d people","tags":["a","b%d"],"$time":%d.%03d}',
		list_extract(['products', 'help', 'cart', 'account'], 1 + CAST(h % 4 AS INTEGER)), q % 20000,
		list_extract(['newsletter', 'ads', 'friends'], 1 + CAST(q % 3 AS INTEGER)), CAST(h % 4294967296 AS BIGINT),
		list_extract(['products', 'help', 'cart', 'account'], 1 + CAST(h % 4 AS INTEGER)), q % 20000,
		list_extract(['Firefox', 'Safari', 'Chrome', 'Edge', 'Mobile Safari'], 1 + CAST(p % 5 AS INTEGER)), 90 + p % 40,
		list_extract(['Linux', 'Mac OS X', 'Windows', 'iOS', 'Android'], 1 + CAST(p % 5 AS INTEGER)),
		800 + p % 7 * 160, 600 + p % 5 * 120, q % 100000, md5('session ' || (i // 20) || (p % 16)), q,
		p % 90, q % 12, p % 250, q % 250, h % 250, q % 500, h % 100, q % 1000, p % 9, 1767225600 + i, h % 1000),
	printf('{"email":"person%d@example.com","plan":"%s","seats":%d,"$initial_referrer":"https://search.example.com/","country":"%s"}',
		p % 50000, list_extract(['free', 'team', 'scale'], 1 + CAST(p % 3 AS INTEGER)), p % 40,
		list_extract(['DE', 'US', 'JP', 'BR', 'IN'], 1 + CAST(p % 5 AS INTEGER))),
	CAST(CAST(md5('person ' || (p % 50000)) AS UUID) AS VARCHAR),
	CASE WHEN h % 12 IN (3, 4) THEN printf('a.button:attr__class="btn btn-%d"nth-child="%d"nth-of-type="1"text="Buy now";div.row:nth-child="%d"',
		q % 30, q % 8, p % 12) ELSE '' END
FROM (SELECT i, CAST(hash(i) % 4611686018427387904 AS BIGINT) AS h, CAST(hash(i + 1000000000) % 4611686018427387904 AS BIGINT) AS p,
	CAST(hash(i * 31 + 7) % 1099511627776 AS BIGINT) AS q FROM range(?) AS numbers(i))`
