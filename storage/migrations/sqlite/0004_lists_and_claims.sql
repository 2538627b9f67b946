-- Runs of one status are few among many: without this index the list reads all of the export's.
CREATE INDEX runs_by_status ON runs (export_id, status, created_at, id);

-- The id of what a request with an idempotency key makes, so that a request that was cut off makes nothing twice.
-- null = it was claimed before ids were kept.
ALTER TABLE answers ADD COLUMN makes text;
