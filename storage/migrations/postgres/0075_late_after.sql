-- After how many minutes an interval is late for who wants to be told; 0 = as the export's frequency has it.
ALTER TABLE subscriptions ADD COLUMN late_after bigint NOT NULL DEFAULT 0;
