-- The first interval after a change of the calendar: it begins where the last one that was due before ended.
ALTER TABLE exports ADD COLUMN first_interval_start DATETIME;
ALTER TABLE exports ADD COLUMN first_interval_end   DATETIME;

-- Definitions that a change has replaced. A run works from the one that it began with.
CREATE TABLE export_revisions (
    export_id        TEXT     NOT NULL REFERENCES exports(id),
    revision         INTEGER  NOT NULL,
    superseded_at    DATETIME NOT NULL,
    team_id          INTEGER  NOT NULL,
    model            TEXT     NOT NULL,
    destination_type TEXT     NOT NULL,
    integration_id   INTEGER,
    config_sealed    BLOB     NOT NULL,
    config_data_key  BLOB     NOT NULL,
    config_key_id    TEXT     NOT NULL,
    frequency        TEXT     NOT NULL,
    timezone         TEXT     NOT NULL,
    offset_day       INTEGER,
    offset_hour      INTEGER,
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
