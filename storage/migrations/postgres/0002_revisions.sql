-- The first interval after a change of the calendar: it begins where the last one that was due before ended.
ALTER TABLE exports ADD COLUMN first_interval_start timestamptz;
ALTER TABLE exports ADD COLUMN first_interval_end   timestamptz;

-- Definitions that a change has replaced. A run works from the one that it began with.
CREATE TABLE export_revisions (
    export_id        uuid        NOT NULL REFERENCES exports,
    revision         bigint      NOT NULL,
    superseded_at    timestamptz NOT NULL,
    team_id          bigint      NOT NULL,
    model            text        NOT NULL,
    destination_type text        NOT NULL,
    integration_id   bigint,
    config_sealed    bytea       NOT NULL,
    config_data_key  bytea       NOT NULL,
    config_key_id    text        NOT NULL,
    frequency        text        NOT NULL,
    timezone         text        NOT NULL,
    offset_day       integer,
    offset_hour      integer,
    PRIMARY KEY (export_id, revision)
);
CREATE INDEX export_revisions_by_age ON export_revisions (superseded_at);
CREATE INDEX runs_of_revision ON runs (export_id, revision);

-- Runs that began before definitions were kept go on with the newest one.
INSERT INTO export_revisions
    SELECT e.id, r.revision, e.last_updated_at, e.team_id, e.model, e.destination_type, e.integration_id,
           e.config_sealed, e.config_data_key, e.config_key_id, e.frequency, e.timezone, e.offset_day, e.offset_hour
    FROM exports e
    JOIN (SELECT DISTINCT export_id, revision FROM runs) r ON r.export_id = e.id AND r.revision <> e.revision;
