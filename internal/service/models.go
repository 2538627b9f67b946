package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/models"
)

// ReadModels returns what a server can export: PostHog's models, with events in a table, as the file changes them. No
// file, no changes.
func ReadModels(table, path string) (models.File, error) {
	base := query.PostHog()
	if table != "" {
		events, _ := base.Model(batch.ModelEvents)
		base = base.With(events.At(strings.Split(table, "."), nil))
	}
	if path == "" {
		return models.File{Catalog: base}, nil
	}
	return models.ReadFile(path, base)
}

// checkTimeout is how long a source may take to say what tables it has.
const checkTimeout = 15 * time.Second

// CheckModels compares the models with the tables of the source. What is wrong with models that the operator's file names is
// an error; of the others the server may have tables or not, and a run without one says so. A source that does not answer is
// no error either: runs wait for it.
func CheckModels(ctx context.Context, s sources.Source, file models.File, log *zap.Logger) error {
	checker, ok := s.(sources.Checker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var problems []error
	for _, m := range file.Catalog {
		err := checker.Check(ctx, query.Catalog{m})
		switch {
		case err == nil:
		case batch.CodeOf(err).Retryable():
			log.Warn("The source does not answer: whether its tables are those of the models is not known yet.", zap.Error(err))
			return nil
		case slices.Contains(file.Named, m.Name):
			problems = append(problems, err)
		default:
			log.Warn("A model has no table in the source, or one with other columns: its exports will fail.",
				zap.String("model", string(m.Name)), zap.Error(err))
		}
	}
	return errors.Join(problems...)
}
