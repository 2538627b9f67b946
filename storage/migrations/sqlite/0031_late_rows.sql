-- Rows that arrived after their interval was delivered, and when they were counted; null = not yet.
ALTER TABLE deliveries ADD COLUMN late_rows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN recounted_at DATETIME;
CREATE INDEX deliveries_not_recounted ON deliveries (committed_at) WHERE recounted_at IS NULL AND superseded_at IS NULL;
