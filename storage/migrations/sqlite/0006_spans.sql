-- The times in which an export was active under one calendar: an interval is due when its end lies in one of them.
CREATE TABLE export_spans (
    export_id            TEXT     NOT NULL REFERENCES exports(id),
    revision             INTEGER  NOT NULL, -- of the definition that began it
    team_id              INTEGER  NOT NULL,
    started_at           DATETIME NOT NULL,
    ended_at             DATETIME, -- null = it goes on
    frequency            TEXT     NOT NULL,
    timezone             TEXT     NOT NULL,
    offset_day           INTEGER,
    offset_hour          INTEGER,
    first_interval_start DATETIME,
    first_interval_end   DATETIME,
    start_at             DATETIME,
    end_at               DATETIME,
    settled_until        DATETIME NOT NULL,
    check_at             DATETIME, -- when to look for due intervals that nobody sees to; null = never again
    PRIMARY KEY (export_id, revision)
);
CREATE INDEX export_spans_by_start ON export_spans (export_id, started_at);
CREATE INDEX export_spans_to_check ON export_spans (check_at) WHERE check_at IS NOT NULL;
CREATE UNIQUE INDEX export_spans_open ON export_spans (export_id) WHERE ended_at IS NULL;

-- What is active has been so since its last change at least.
INSERT INTO export_spans
    SELECT id, revision, team_id, last_updated_at, NULL, frequency, timezone, offset_day, offset_hour,
           first_interval_start, first_interval_end, start_at, end_at, last_updated_at, last_updated_at
    FROM exports WHERE NOT paused AND NOT deleted;

CREATE INDEX runs_by_interval_end ON runs (export_id, interval_end);
