package activities

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/destinations"
)

// open connects to an export's destination, whose errors and warnings cannot tell its secrets, whatever a vendor's text quotes:
// they go to histories, to customers and to logs.
func (a *Activities) open(ctx context.Context, plugin destinations.Plugin, e batch.Export) (destinations.Destination, error) {
	hide := newScrubber(plugin.Secrets(e.Destination.Config))
	destination, err := plugin.OpenFor(ctx, destinations.Owner{TeamID: e.TeamID, ExportID: e.ID}, e.Destination.Config)
	if err != nil {
		return nil, hide.from(err)
	}
	return &observedDestination{Destination: &discreet{Destination: destination, hide: hide}, kind: e.Destination.Type, metrics: a.Metrics}, nil
}

// A scrubber replaces secrets in texts.
type scrubber struct {
	secrets  []string
	replacer *strings.Replacer
}

// scrubbedSecret stands where a secret was.
const scrubbedSecret = "***"

func newScrubber(secrets []string) *scrubber {
	s := &scrubber{}
	for _, secret := range secrets {
		s.secrets = append(s.secrets, secret, url.QueryEscape(secret), url.PathEscape(secret))
	}
	s.secrets = slices.DeleteFunc(s.secrets, func(secret string) bool { return secret == "" })
	// The longest first: one secret may begin with another.
	slices.SortFunc(s.secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, secret := range s.secrets {
		pairs = append(pairs, secret, scrubbedSecret)
	}
	s.replacer = strings.NewReplacer(pairs...)
	return s
}

// from returns err itself when it tells no secret, and otherwise one of the same code without its causes.
func (s *scrubber) from(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if !slices.ContainsFunc(s.secrets, func(secret string) bool { return strings.Contains(text, secret) }) {
		return err
	}
	known, ok := errors.AsType[*batch.Error](err)
	if !ok {
		return errors.New(s.replacer.Replace(text))
	}
	return &batch.Error{
		Code: known.Code, Message: s.replacer.Replace(known.Message), RetryAfter: known.RetryAfter,
		Err: errors.New(s.replacer.Replace(text)),
	}
}

// discreet is a destination that keeps its secrets.
type discreet struct {
	destinations.Destination
	hide *scrubber
}

// Stage is the Destination's.
func (d *discreet) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	receipt, err := d.Destination.Stage(ctx, job, records)
	return receipt, d.hide.from(err)
}

// Commit is the Destination's.
func (d *discreet) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	published, err := d.Destination.Commit(ctx, run, receipts, previous)
	for i, warning := range published.Warnings {
		published.Warnings[i] = d.hide.replacer.Replace(warning)
	}
	return published, d.hide.from(err)
}

// Abort is the Destination's.
func (d *discreet) Abort(ctx context.Context, refs []destinations.Ref) error {
	return d.hide.from(d.Destination.Abort(ctx, refs))
}

// Close is the Destination's.
func (d *discreet) Close() error { return d.hide.from(d.Destination.Close()) }
