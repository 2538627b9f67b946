-- Times are UTC with microseconds. An interval from the beginning of time starts at '0001-01-01': it sorts first and
-- needs no special case in comparisons and keys.

CREATE TABLE organizations (
    id bigint PRIMARY KEY
);

CREATE TABLE users (
    id bigint PRIMARY KEY
);

CREATE TABLE projects (
    id              bigint PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations,
    name            text   NOT NULL,
    timezone        text   NOT NULL
);

CREATE TABLE api_keys (
    id              uuid        PRIMARY KEY,
    label           text        NOT NULL,
    prefix          text        NOT NULL,
    hash            text        NOT NULL UNIQUE,
    organization_id bigint      NOT NULL REFERENCES organizations,
    user_id         bigint      NOT NULL REFERENCES users,
    scopes          jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz,
    expires_at      timestamptz,
    revoked_at      timestamptz
);
CREATE INDEX api_keys_of_organization ON api_keys (organization_id, created_at, id);

CREATE TABLE exports (
    id                 uuid        PRIMARY KEY,
    team_id            bigint      NOT NULL,
    name               text        NOT NULL,
    model              text        NOT NULL,
    destination_type   text        NOT NULL,
    integration_id     bigint,
    config_sealed      bytea       NOT NULL,
    config_data_key    bytea       NOT NULL,
    config_key_id      text        NOT NULL,
    frequency          text        NOT NULL,
    timezone           text        NOT NULL,
    offset_day         integer,
    offset_hour        integer,
    start_at           timestamptz,
    end_at             timestamptz,
    paused             boolean     NOT NULL,
    last_paused_at     timestamptz,
    deleted            boolean     NOT NULL,
    revision           bigint      NOT NULL,
    scheduled_revision bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    last_updated_at    timestamptz NOT NULL,
    last_modified_by   bigint      NOT NULL
);
CREATE INDEX exports_of_team ON exports (team_id, created_at, id) WHERE NOT deleted;
CREATE INDEX exports_newest ON exports (created_at, id) WHERE NOT deleted AND NOT paused;
CREATE INDEX exports_stale ON exports (last_updated_at, id) WHERE scheduled_revision < revision;

CREATE TABLE backfills (
    id                uuid        PRIMARY KEY,
    export_id         uuid        NOT NULL REFERENCES exports,
    team_id           bigint      NOT NULL,
    start_at          timestamptz NOT NULL, -- '0001-01-01' = from the earliest row
    end_at            timestamptz,
    adjusted_start_at timestamptz,
    retry             boolean     NOT NULL,
    status            text        NOT NULL,
    concurrency       integer     NOT NULL,
    total_runs        bigint,
    total_records     bigint,
    created_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    last_updated_at   timestamptz NOT NULL
);
CREATE INDEX backfills_by_creation ON backfills (export_id, created_at, id);
CREATE INDEX backfills_by_start ON backfills (export_id, start_at, id);
CREATE INDEX backfills_open ON backfills (id) WHERE status IN ('Starting', 'Running');
CREATE INDEX backfills_open_of_team ON backfills (team_id, export_id) WHERE status IN ('Starting', 'Running');

CREATE TABLE runs (
    id                uuid        PRIMARY KEY,
    export_id         uuid        NOT NULL REFERENCES exports,
    team_id           bigint      NOT NULL,
    backfill_id       uuid        REFERENCES backfills,
    interval_start    timestamptz NOT NULL,
    interval_end      timestamptz NOT NULL,
    status            text        NOT NULL,
    revision          bigint      NOT NULL,
    workflow_id       text        NOT NULL,
    temporal_run_id   text        NOT NULL,
    generation        integer     NOT NULL,
    attempt           integer     NOT NULL,
    latest_error      text        NOT NULL,
    error_code        text        NOT NULL,
    next_retry_at     timestamptz,
    rows_total        bigint,
    rows_completed    bigint,
    rows_failed       bigint,
    bytes             bigint,
    files             bigint,
    commit_started_at timestamptz,
    created_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    last_updated_at   timestamptz NOT NULL
);
CREATE INDEX runs_by_creation ON runs (export_id, created_at, id);
CREATE INDEX runs_by_interval ON runs (export_id, interval_start, id);
CREATE INDEX runs_of_backfill ON runs (backfill_id, created_at, id) WHERE backfill_id IS NOT NULL;
CREATE INDEX runs_of_backfill_by_status ON runs (backfill_id, status) WHERE backfill_id IS NOT NULL;
CREATE INDEX runs_open ON runs (id) WHERE status IN ('Starting', 'Running');
CREATE INDEX runs_open_of_export ON runs (export_id, id) WHERE status IN ('Starting', 'Running');

-- The plan of one generation of a run: how many splits it has, whether one was handed out, whether a newer run fenced it.
CREATE TABLE plans (
    run_id     uuid    NOT NULL REFERENCES runs ON DELETE CASCADE,
    generation integer NOT NULL,
    splits     integer NOT NULL,
    taken      boolean NOT NULL,
    fenced     boolean NOT NULL,
    PRIMARY KEY (run_id, generation)
);

CREATE TABLE splits (
    run_id      uuid        NOT NULL,
    generation  integer     NOT NULL,
    number      integer     NOT NULL,
    range_start timestamptz NOT NULL,
    range_end   timestamptz NOT NULL,
    attempt     integer     NOT NULL,
    receipt     jsonb,
    PRIMARY KEY (run_id, generation, number),
    FOREIGN KEY (run_id, generation) REFERENCES plans ON DELETE CASCADE
);

-- The journal: what was staged and must be published or removed. It outlives runs, so it repeats what names them.
CREATE TABLE refs (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id         uuid        NOT NULL,
    export_id      uuid        NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_end   timestamptz NOT NULL,
    generation     integer     NOT NULL,
    split          integer     NOT NULL,
    attempt        integer     NOT NULL,
    ref            text        NOT NULL,
    ref_hash       text        NOT NULL, -- refs are longer than an index allows
    not_before     timestamptz NOT NULL,
    UNIQUE (run_id, ref_hash)
);
CREATE INDEX refs_by_interval ON refs (export_id, interval_end);

-- One row per export and interval end, never deleted: its token only grows.
CREATE TABLE leases (
    export_id      uuid        NOT NULL REFERENCES exports,
    interval_start timestamptz NOT NULL,
    interval_end   timestamptz NOT NULL,
    run_id         uuid, -- null = released
    token          bigint      NOT NULL,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (export_id, interval_end)
);

CREATE TABLE deliveries (
    export_id      uuid        NOT NULL REFERENCES exports,
    interval_start timestamptz NOT NULL,
    interval_end   timestamptz NOT NULL,
    run_id         uuid        NOT NULL,
    generation     integer     NOT NULL,
    token          bigint      NOT NULL,
    rows           bigint      NOT NULL,
    bytes          bigint      NOT NULL,
    objects        jsonb       NOT NULL,
    manifest       text        NOT NULL,
    committed_at   timestamptz NOT NULL,
    PRIMARY KEY (export_id, interval_end, interval_start)
);

CREATE TABLE logs (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id   bigint      NOT NULL,
    export_id uuid        NOT NULL,
    run_id    uuid, -- null = about the export
    timestamp timestamptz NOT NULL,
    level     text        NOT NULL,
    message   text        NOT NULL
);
CREATE INDEX logs_of_export ON logs (export_id, timestamp, id);
CREATE INDEX logs_of_run ON logs (run_id, timestamp, id) WHERE run_id IS NOT NULL;
CREATE INDEX logs_by_age ON logs (timestamp, id);
