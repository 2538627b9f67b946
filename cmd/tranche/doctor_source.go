package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
		case m.Name == batch.ModelEvents || slices.Contains(d.config.Models.Named, m.Name):
			d.problem(check, explained(err), d.sourceAdvice(code, m))
		default: // the service knows the model, and nobody said that the source has it
			d.warn(check, explained(err), "exports of this model would fail, others do not need it; \""+string(m.Name)+": false\" in TRANCHE_MODELS_FILE says that there is none")
		}
	}
}

// sourceAdvice is what an operator does about a model that does not fit the source.
func (d *doctor) sourceAdvice(code batch.Code, m query.Model) string {
	notThere := "correct the table of this model in TRANCHE_MODELS_FILE, or the database in TRANCHE_SOURCE_URL"
	if m.Name == batch.ModelEvents && d.config.ModelsFile == "" {
		notThere = "correct TRANCHE_SOURCE_TABLE, or the database in TRANCHE_SOURCE_URL"
	}
	advice := map[batch.Code]string{
		batch.CodeNotFound:   notThere,
		batch.CodePermission: "GRANT SELECT ON " + strings.Join(m.Table, ".") + " to the user in TRANCHE_SOURCE_URL",
		batch.CodeConfig:     "say in TRANCHE_MODELS_FILE which column holds each of these fields, or ~ where none does; docs/models.md shows how",
		batch.CodeSchema:     "name another column in TRANCHE_MODELS_FILE, or another type where you declared the field; docs/models.md has the types",
	}
	return cmp.Or(advice[code], "see that the table, its columns and the rights of the user in TRANCHE_SOURCE_URL are as docs/models.md says")
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
