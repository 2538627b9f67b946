-- The reconciler asks for backfills that were cancelled lately while they were paused.
CREATE INDEX backfills_cancelled_in_pause ON backfills (finished_at) WHERE status = 'Cancelled' AND paused_at IS NOT NULL;
