-- By which time a backfill chooses rows: '' = when they arrived, as scheduled runs do.
ALTER TABLE backfills ADD COLUMN selection TEXT NOT NULL DEFAULT '';
