-- What requests with an idempotency key were answered with. Key and request are hashes.
CREATE TABLE answers (
    key          text        PRIMARY KEY,
    request      text        NOT NULL,
    until        timestamptz NOT NULL,
    abandoned_at timestamptz NOT NULL,
    status       integer     NOT NULL, -- 0 = not answered yet
    body         bytea,
    etag         text        NOT NULL
);
CREATE INDEX answers_by_age ON answers (until);
