-- Who wants to be told of what. An address is as secret as a password: both are sealed.
CREATE TABLE subscriptions (
    id              TEXT        PRIMARY KEY,
    team_id         INTEGER     NOT NULL,
    export_id       TEXT        REFERENCES exports(id), -- null = all exports of the team
    name            TEXT        NOT NULL,
    kind            TEXT        NOT NULL,
    events          TEXT        NOT NULL, -- with a comma before and behind each
    enabled         BOOLEAN     NOT NULL,
    config_sealed   BLOB        NOT NULL,
    config_data_key BLOB        NOT NULL,
    config_key_id   TEXT        NOT NULL,
    created_at      DATETIME    NOT NULL,
    last_updated_at DATETIME    NOT NULL
);
CREATE INDEX subscriptions_of_team ON subscriptions (team_id, created_at, id);

-- What happened: at most one row for an event of an export with a key. It is written in the transaction of what it tells of.
CREATE TABLE notifications (
    id         TEXT        PRIMARY KEY,
    team_id    INTEGER     NOT NULL,
    export_id  TEXT        REFERENCES exports(id), -- null = a test of a subscription to all exports
    event      TEXT        NOT NULL,
    key        TEXT        NOT NULL,
    facts      TEXT        NOT NULL,
    created_at DATETIME    NOT NULL,
    started_at DATETIME, -- null = its workflow may not have been started
    UNIQUE (export_id, event, key)
);
CREATE INDEX notifications_unstarted ON notifications (created_at, id) WHERE started_at IS NULL;
CREATE INDEX notifications_by_age ON notifications (created_at, id);

-- A notification on its way to a subscription.
CREATE TABLE messages (
    id              TEXT        PRIMARY KEY,
    notification_id TEXT        NOT NULL REFERENCES notifications(id) ON DELETE CASCADE,
    subscription_id TEXT        NOT NULL, -- no reference: the log of what was sent outlives it
    status          TEXT        NOT NULL,
    attempts        INTEGER     NOT NULL,
    created_at      DATETIME    NOT NULL,
    finished_at     DATETIME,
    UNIQUE (notification_id, subscription_id)
);
CREATE INDEX messages_of_subscription ON messages (subscription_id, created_at, id);
CREATE INDEX messages_pending ON messages (created_at) WHERE status = 'pending';

CREATE TABLE message_attempts (
    message_id  TEXT        NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
    number      INTEGER     NOT NULL,
    at          DATETIME    NOT NULL,
    status_code INTEGER     NOT NULL, -- 0 = none
    duration_ms INTEGER     NOT NULL,
    error       TEXT        NOT NULL,
    PRIMARY KEY (message_id, number)
);

-- The columns that an export delivered last.
CREATE TABLE export_columns (
    export_id  TEXT        PRIMARY KEY REFERENCES exports(id),
    revision   INTEGER     NOT NULL,
    columns    TEXT        NOT NULL,
    changed_at DATETIME    NOT NULL
);
