package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tranche/batch"
	"tranche/internal/service"
	"tranche/query"
	"tranche/sources"
)

// checkSource asks the source for the columns of each model, and counts the rows of the last minute, as a run would.
func (d *doctor) checkSource(ctx context.Context) {
	if d.config.SourceURL == "" {
		d.warn("source", "TRANCHE_SOURCE_URL is not set", "workers need it; the API needs it for previews of backfills")
		return
	}
	models := d.config.Models.Catalog
	source, err := service.OpenSource(d.config.SourceURL, models)
	if err != nil {
		d.problem("source", explained(err), "correct TRANCHE_SOURCE_URL")
		return
	}
	defer source.Close()
	for _, m := range models {
		err := checkModel(ctx, source, m)
		check, table := "source: "+string(m.Name), strings.Join(m.Table, ".")
		switch code := codeOf(err); {
		case err == nil:
			d.ok(check, fmt.Sprintf("%s has the columns that it needs", table))
		case code == batch.CodeUnavailable || code == batch.CodeCredentials || code == batch.CodeThrottled || code == batch.CodeTimeout:
			d.problem("source", explained(err), "check that TRANCHE_SOURCE_URL is right, that the server runs, and that it lets us in")
			return
		case m.Name == batch.ModelEvents:
			d.problem(check, explained(err), "correct TRANCHE_SOURCE_TABLE, or give the user the right to read the table")
		default:
			d.warn(check, explained(err), "exports of this model would fail; others do not need it")
		}
	}
}

// modelWindow is the interval that is counted: short, so that it costs nothing.
const modelWindow = time.Minute

func checkModel(ctx context.Context, source sources.Source, m query.Model) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	end := time.Now().UTC().Truncate(time.Minute)
	q := query.Query{
		TeamID: 1, Model: m.Name, Columns: m.Columns(), Interval: batch.Interval{Start: end.Add(-modelWindow), End: end},
	}
	if _, err := source.Schema(ctx, q); err != nil {
		return err
	}
	_, err := source.Count(ctx, q)
	return err
}

// codeOf is the code of an error, or none.
func codeOf(err error) batch.Code {
	if e, ok := errors.AsType[*batch.Error](err); ok {
		return e.Code
	}
	return ""
}
