-- Times are microseconds since 1970, UTC; the type DATETIME makes the driver read them as times. An interval from the
-- beginning of time starts at 0001-01-01: it sorts first and needs no special case in comparisons and keys.

CREATE TABLE organizations (
    id INTEGER PRIMARY KEY
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY
);

CREATE TABLE projects (
    id              INTEGER PRIMARY KEY,
    organization_id INTEGER NOT NULL REFERENCES organizations(id),
    name            TEXT    NOT NULL,
    timezone        TEXT    NOT NULL
);

CREATE TABLE api_keys (
    id              TEXT     PRIMARY KEY,
    label           TEXT     NOT NULL,
    prefix          TEXT     NOT NULL,
    hash            TEXT     NOT NULL UNIQUE,
    organization_id INTEGER  NOT NULL REFERENCES organizations(id),
    user_id         INTEGER  NOT NULL REFERENCES users(id),
    scopes          TEXT     NOT NULL,
    created_at      DATETIME NOT NULL,
    last_used_at    DATETIME,
    expires_at      DATETIME,
    revoked_at      DATETIME
);
CREATE INDEX api_keys_of_organization ON api_keys (organization_id, created_at, id);

CREATE TABLE exports (
    id                 TEXT     PRIMARY KEY,
    team_id            INTEGER  NOT NULL,
    name               TEXT     NOT NULL,
    model              TEXT     NOT NULL,
    destination_type   TEXT     NOT NULL,
    integration_id     INTEGER,
    config_sealed      BLOB     NOT NULL,
    config_data_key    BLOB     NOT NULL,
    config_key_id      TEXT     NOT NULL,
    frequency          TEXT     NOT NULL,
    timezone           TEXT     NOT NULL,
    offset_day         INTEGER,
    offset_hour        INTEGER,
    start_at           DATETIME,
    end_at             DATETIME,
    paused             BOOLEAN  NOT NULL,
    last_paused_at     DATETIME,
    deleted            BOOLEAN  NOT NULL,
    revision           INTEGER  NOT NULL,
    scheduled_revision INTEGER  NOT NULL,
    created_at         DATETIME NOT NULL,
    last_updated_at    DATETIME NOT NULL,
    last_modified_by   INTEGER  NOT NULL
);
CREATE INDEX exports_of_team ON exports (team_id, created_at, id) WHERE NOT deleted;
CREATE INDEX exports_newest ON exports (created_at, id) WHERE NOT deleted AND NOT paused;
CREATE INDEX exports_stale ON exports (last_updated_at, id) WHERE scheduled_revision < revision;

CREATE TABLE backfills (
    id                TEXT     PRIMARY KEY,
    export_id         TEXT     NOT NULL REFERENCES exports(id),
    team_id           INTEGER  NOT NULL,
    start_at          DATETIME NOT NULL, -- 0001-01-01 = from the earliest row
    end_at            DATETIME,
    adjusted_start_at DATETIME,
    retry             BOOLEAN  NOT NULL,
    status            TEXT     NOT NULL,
    concurrency       INTEGER  NOT NULL,
    total_runs        INTEGER,
    total_records     INTEGER,
    created_at        DATETIME NOT NULL,
    finished_at       DATETIME,
    last_updated_at   DATETIME NOT NULL
);
CREATE INDEX backfills_by_creation ON backfills (export_id, created_at, id);
CREATE INDEX backfills_by_start ON backfills (export_id, start_at, id);
CREATE INDEX backfills_open ON backfills (id) WHERE status IN ('Starting', 'Running');
CREATE INDEX backfills_open_of_team ON backfills (team_id, export_id) WHERE status IN ('Starting', 'Running');

CREATE TABLE runs (
    id                TEXT     PRIMARY KEY,
    export_id         TEXT     NOT NULL REFERENCES exports(id),
    team_id           INTEGER  NOT NULL,
    backfill_id       TEXT     REFERENCES backfills(id),
    interval_start    DATETIME NOT NULL,
    interval_end      DATETIME NOT NULL,
    status            TEXT     NOT NULL,
    revision          INTEGER  NOT NULL,
    workflow_id       TEXT     NOT NULL,
    temporal_run_id   TEXT     NOT NULL,
    generation        INTEGER  NOT NULL,
    attempt           INTEGER  NOT NULL,
    latest_error      TEXT     NOT NULL,
    error_code        TEXT     NOT NULL,
    next_retry_at     DATETIME,
    rows_total        INTEGER,
    rows_completed    INTEGER,
    rows_failed       INTEGER,
    bytes             INTEGER,
    files             INTEGER,
    commit_started_at DATETIME,
    created_at        DATETIME NOT NULL,
    finished_at       DATETIME,
    last_updated_at   DATETIME NOT NULL
);
CREATE INDEX runs_by_creation ON runs (export_id, created_at, id);
CREATE INDEX runs_by_interval ON runs (export_id, interval_start, id);
CREATE INDEX runs_of_backfill ON runs (backfill_id, created_at, id) WHERE backfill_id IS NOT NULL;
CREATE INDEX runs_of_backfill_by_status ON runs (backfill_id, status) WHERE backfill_id IS NOT NULL;
CREATE INDEX runs_open ON runs (id) WHERE status IN ('Starting', 'Running');
CREATE INDEX runs_open_of_export ON runs (export_id, id) WHERE status IN ('Starting', 'Running');

-- The plan of one generation of a run: how many splits it has, whether one was handed out, whether a newer run fenced it.
CREATE TABLE plans (
    run_id     TEXT    NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    splits     INTEGER NOT NULL,
    taken      BOOLEAN NOT NULL,
    fenced     BOOLEAN NOT NULL,
    PRIMARY KEY (run_id, generation)
);

CREATE TABLE splits (
    run_id      TEXT     NOT NULL,
    generation  INTEGER  NOT NULL,
    number      INTEGER  NOT NULL,
    range_start DATETIME NOT NULL,
    range_end   DATETIME NOT NULL,
    attempt     INTEGER  NOT NULL,
    receipt     TEXT,
    PRIMARY KEY (run_id, generation, number),
    FOREIGN KEY (run_id, generation) REFERENCES plans(run_id, generation) ON DELETE CASCADE
);

-- The journal: what was staged and must be published or removed. It outlives runs, so it repeats what names them.
CREATE TABLE refs (
    id             INTEGER  PRIMARY KEY AUTOINCREMENT,
    run_id         TEXT     NOT NULL,
    export_id      TEXT     NOT NULL,
    interval_start DATETIME NOT NULL,
    interval_end   DATETIME NOT NULL,
    generation     INTEGER  NOT NULL,
    split          INTEGER  NOT NULL,
    attempt        INTEGER  NOT NULL,
    ref            TEXT     NOT NULL,
    ref_hash       TEXT     NOT NULL, -- refs are longer than an index allows
    not_before     DATETIME NOT NULL,
    UNIQUE (run_id, ref_hash)
);
CREATE INDEX refs_by_interval ON refs (export_id, interval_end);

-- One row per export and interval end, never deleted: its token only grows.
CREATE TABLE leases (
    export_id      TEXT     NOT NULL REFERENCES exports(id),
    interval_start DATETIME NOT NULL,
    interval_end   DATETIME NOT NULL,
    run_id         TEXT,    -- null = released
    token          INTEGER  NOT NULL,
    expires_at     DATETIME NOT NULL,
    PRIMARY KEY (export_id, interval_end)
);

CREATE TABLE deliveries (
    export_id      TEXT     NOT NULL REFERENCES exports(id),
    interval_start DATETIME NOT NULL,
    interval_end   DATETIME NOT NULL,
    run_id         TEXT     NOT NULL,
    generation     INTEGER  NOT NULL,
    token          INTEGER  NOT NULL,
    rows           INTEGER  NOT NULL,
    bytes          INTEGER  NOT NULL,
    objects        TEXT     NOT NULL,
    manifest       TEXT     NOT NULL,
    committed_at   DATETIME NOT NULL,
    PRIMARY KEY (export_id, interval_end, interval_start)
);

CREATE TABLE logs (
    id        INTEGER  PRIMARY KEY AUTOINCREMENT,
    team_id   INTEGER  NOT NULL,
    export_id TEXT     NOT NULL,
    run_id    TEXT,    -- null = about the export
    timestamp DATETIME NOT NULL,
    level     TEXT     NOT NULL,
    message   TEXT     NOT NULL
);
CREATE INDEX logs_of_export ON logs (export_id, timestamp, id);
CREATE INDEX logs_of_run ON logs (run_id, timestamp, id) WHERE run_id IS NOT NULL;
CREATE INDEX logs_by_age ON logs (timestamp, id);
