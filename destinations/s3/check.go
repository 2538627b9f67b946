package s3

import (
	"context"

	"tranche/batch"
	"tranche/destinations"
)

// A step is a step of a connection test, with what it does.
type step struct {
	destinations.Step
	run func(*destination, context.Context) error
}

// The steps of the connection tests.
var (
	roleStep = step{destinations.Step{
		Name:        "Ensure we can assume provided AWS role",
		Description: "Assume the role of the batch export, and see that it demands an external id.",
	}, (*destination).checkRole}
	bucketStep = step{destinations.Step{
		Name:        "Check S3 bucket exists",
		Description: "Ask for the bucket with the credentials of the batch export.",
	}, (*destination).checkBucket}
	keyStep = step{destinations.Step{
		Name:        "Check that the KMS key may be used",
		Description: "Begin to write a file that is encrypted with the key, and throw it away.",
	}, (*destination).checkKey}
	probeStep = step{destinations.Step{
		Name:        "Check that files can be written, read and deleted",
		Description: "Write a small file under the prefix, read it back and delete it.",
	}, func(d *destination, ctx context.Context) error { return d.Probe(ctx) }}

	awsSteps        = []step{roleStep, bucketStep, keyStep, probeStep}
	compatibleSteps = []step{bucketStep, probeStep}
	bothSteps       = []step{bucketStep, keyStep, probeStep}
)

func listed(steps []step) []destinations.Step {
	all := make([]destinations.Step, len(steps))
	for i, s := range steps {
		all[i] = s.Step
	}
	return all
}

// Checks is the Destination's.
func (d *destination) Checks() []destinations.Check {
	checks := make([]destinations.Check, len(d.steps))
	for i, s := range d.steps {
		checks[i] = destinations.Check{
			Name: s.Name, Description: s.Description,
			Run: func(ctx context.Context) error { return s.run(d, ctx) },
		}
	}
	return checks
}

// checkRole assumes the role once: whoever tests it reads at once what is missing.
func (d *destination) checkRole(ctx context.Context) error {
	if d.role == nil {
		return &destinations.SkippedError{Reason: "No configured AWS role ARN, skipping test"}
	}
	_, err := d.role.assume(ctx)
	return err
}

// checkBucket asks for the bucket as PostHog's clients expect to be told.
func (d *destination) checkBucket(ctx context.Context) error {
	err := d.Reach(ctx)
	switch batch.CodeOf(err) { //nolint:exhaustive // the others speak for themselves
	case batch.CodeNotFound:
		return batch.Errorf(batch.CodeNotFound, err, "bucket '%s' does not exist or we don't have permissions to use it", d.place.BucketName)
	case batch.CodePermission:
		return batch.Errorf(batch.CodePermission, err,
			"we couldn't access bucket '%s'. Check the provided credentials, endpoint and region, and that they may write under the prefix: %s",
			d.place.BucketName, batch.MessageOf(err))
	}
	return err
}

// checkKey begins a file that is encrypted with the key.
func (d *destination) checkKey(ctx context.Context) error {
	if valueOf(d.place.Method) != kms {
		return &destinations.SkippedError{Reason: "No KMS encryption is configured, skipping test"}
	}
	return d.Rehearse(ctx)
}
