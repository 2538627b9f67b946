-- Who wants to be told of what. An address is as secret as a password: both are sealed.
CREATE TABLE subscriptions (
    id              uuid        PRIMARY KEY,
    team_id         bigint      NOT NULL,
    export_id       uuid        REFERENCES exports, -- null = all exports of the team
    name            text        NOT NULL,
    kind            text        NOT NULL,
    events          text        NOT NULL, -- with a comma before and behind each
    enabled         boolean     NOT NULL,
    config_sealed   bytea       NOT NULL,
    config_data_key bytea       NOT NULL,
    config_key_id   text        NOT NULL,
    created_at      timestamptz NOT NULL,
    last_updated_at timestamptz NOT NULL
);
CREATE INDEX subscriptions_of_team ON subscriptions (team_id, created_at, id);

-- What happened: at most one row for an event of an export with a key. It is written in the transaction of what it tells of.
CREATE TABLE notifications (
    id         uuid        PRIMARY KEY,
    team_id    bigint      NOT NULL,
    export_id  uuid        REFERENCES exports, -- null = a test of a subscription to all exports
    event      text        NOT NULL,
    key        text        NOT NULL,
    facts      jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz, -- null = its workflow may not have been started
    UNIQUE (export_id, event, key)
);
CREATE INDEX notifications_unstarted ON notifications (created_at, id) WHERE started_at IS NULL;
CREATE INDEX notifications_by_age ON notifications (created_at, id);

-- A notification on its way to a subscription.
CREATE TABLE messages (
    id              uuid        PRIMARY KEY,
    notification_id uuid        NOT NULL REFERENCES notifications ON DELETE CASCADE,
    subscription_id uuid        NOT NULL, -- no reference: the log of what was sent outlives it
    status          text        NOT NULL,
    attempts        integer     NOT NULL,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    UNIQUE (notification_id, subscription_id)
);
CREATE INDEX messages_of_subscription ON messages (subscription_id, created_at, id);
CREATE INDEX messages_pending ON messages (created_at) WHERE status = 'pending';

CREATE TABLE message_attempts (
    message_id  uuid        NOT NULL REFERENCES messages ON DELETE CASCADE,
    number      integer     NOT NULL,
    at          timestamptz NOT NULL,
    status_code integer     NOT NULL, -- 0 = none
    duration_ms bigint      NOT NULL,
    error       text        NOT NULL,
    PRIMARY KEY (message_id, number)
);

-- The columns that an export delivered last.
CREATE TABLE export_columns (
    export_id  uuid        PRIMARY KEY REFERENCES exports,
    revision   bigint      NOT NULL,
    columns    jsonb       NOT NULL,
    changed_at timestamptz NOT NULL
);
