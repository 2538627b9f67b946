-- Runs of one status are few among many: without this index the list reads all of the export's.
CREATE INDEX runs_by_status ON runs (export_id, status, created_at, id);
