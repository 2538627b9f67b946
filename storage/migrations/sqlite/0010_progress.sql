-- How far the newest try of a split has come: written now and then while it works.
ALTER TABLE splits ADD COLUMN rows_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE splits ADD COLUMN bytes_done INTEGER NOT NULL DEFAULT 0;
