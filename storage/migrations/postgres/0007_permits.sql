-- The runs behind a range of intervals.
CREATE INDEX IF NOT EXISTS runs_by_interval_end ON runs (export_id, interval_end);

-- What a run waits for before it may work; empty = nothing.
ALTER TABLE runs ADD COLUMN waiting_for text NOT NULL DEFAULT '';

-- The runs that may work now, for the limits of exports, teams and hosts. What has expired counts no more.
CREATE TABLE permits (
    run_id     uuid        PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    export_id  uuid        NOT NULL,
    team_id    bigint      NOT NULL,
    host       text        NOT NULL, -- empty = none
    expires_at timestamptz NOT NULL
);
CREATE INDEX permits_of_team ON permits (team_id);
CREATE INDEX permits_of_host ON permits (host);
CREATE INDEX permits_by_age ON permits (expires_at);
