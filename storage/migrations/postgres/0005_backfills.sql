-- How a backfill is run, and how it is steered while it runs.
ALTER TABLE backfills ADD COLUMN direction      text        NOT NULL DEFAULT 'oldest';
ALTER TABLE backfills ADD COLUMN skip_delivered boolean     NOT NULL DEFAULT false;
ALTER TABLE backfills ADD COLUMN replaces       boolean     NOT NULL DEFAULT false;
ALTER TABLE backfills ADD COLUMN paused_at      timestamptz;
ALTER TABLE backfills ADD COLUMN steering       bigint      NOT NULL DEFAULT 0;
ALTER TABLE backfills ADD COLUMN steered        bigint      NOT NULL DEFAULT 0;
ALTER TABLE backfills ADD COLUMN caught_up_at   timestamptz;
ALTER TABLE backfills ADD COLUMN latest_error   text        NOT NULL DEFAULT '';

-- A delivery that a run of another length takes the place of: it counts as delivered no more, but its files may still be
-- visible, until a run that overlaps it has removed them.
ALTER TABLE deliveries ADD COLUMN superseded_at timestamptz;

-- Counts and sums of a backfill's runs are read from the index alone.
CREATE INDEX runs_tally_of_backfill ON runs (backfill_id, status) INCLUDE (rows_completed, bytes) WHERE backfill_id IS NOT NULL;
DROP INDEX runs_of_backfill_by_status;
