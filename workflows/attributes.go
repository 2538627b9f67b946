package workflows

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tranche/batch"
)

// The task queues. Backfills have slots of their own: they never delay scheduled runs.
const (
	QueueExports   = "tranche-exports"
	QueueBackfills = "tranche-backfills"
)

// The search attributes by which Temporal's Web UI finds the runs of an export.
var (
	AttributeTeam        = temporal.NewSearchAttributeKeyInt64("TrancheTeam")
	AttributeExport      = temporal.NewSearchAttributeKeyKeyword("TrancheBatchExport")
	AttributeDestination = temporal.NewSearchAttributeKeyKeyword("TrancheDestination")
	AttributeModel       = temporal.NewSearchAttributeKeyKeyword("TrancheModel")
	AttributeBackfill    = temporal.NewSearchAttributeKeyKeyword("TrancheBackfill")
	AttributeRunID       = temporal.NewSearchAttributeKeyKeyword("TrancheRun")
	AttributeIntervalEnd = temporal.NewSearchAttributeKeyTime("TrancheIntervalEnd")
)

// scheduledStartTime is set by Temporal on what a schedule starts: the nominal time, without jitter.
var scheduledStartTime = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// SearchAttributes are the attributes that a namespace must have.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		AttributeTeam.GetName():        enumspb.INDEXED_VALUE_TYPE_INT,
		AttributeExport.GetName():      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		AttributeDestination.GetName(): enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		AttributeModel.GetName():       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		AttributeBackfill.GetName():    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		AttributeRunID.GetName():       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		AttributeIntervalEnd.GetName(): enumspb.INDEXED_VALUE_TYPE_DATETIME,
	}
}

// attributesOf are the attributes of every execution for an export.
func attributesOf(e batch.Export, more ...temporal.SearchAttributeUpdate) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(append(more,
		AttributeTeam.ValueSet(e.TeamID), AttributeExport.ValueSet(e.ID.String()),
		AttributeDestination.ValueSet(e.Destination.Type), AttributeModel.ValueSet(string(e.Model)))...)
}

// inherited are the attributes that a backfill hands to its runs.
func inherited(ctx workflow.Context) temporal.SearchAttributes {
	mine := workflow.GetTypedSearchAttributes(ctx)
	var updates []temporal.SearchAttributeUpdate
	if team, ok := mine.GetInt64(AttributeTeam); ok {
		updates = append(updates, AttributeTeam.ValueSet(team))
	}
	for _, key := range []temporal.SearchAttributeKeyKeyword{AttributeExport, AttributeDestination, AttributeModel, AttributeBackfill} {
		if value, ok := mine.GetKeyword(key); ok {
			updates = append(updates, key.ValueSet(value))
		}
	}
	return temporal.NewSearchAttributes(updates...)
}

// EnsureSearchAttributes registers the attributes that the namespace lacks.
func EnsureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return unavailable("list search attributes", err)
	}
	missing := SearchAttributes()
	for name := range have.GetCustomAttributes() {
		delete(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	return unavailable("add search attributes", err)
}
