-- The runs behind a range of intervals.
CREATE INDEX runs_by_interval_end ON runs (export_id, interval_end, interval_start);
