-- What requests with an idempotency key were answered with. Key and request are hashes.
CREATE TABLE answers (
    key          TEXT     PRIMARY KEY,
    request      TEXT     NOT NULL,
    until        DATETIME NOT NULL,
    abandoned_at DATETIME NOT NULL,
    status       INTEGER  NOT NULL, -- 0 = not answered yet
    body         BLOB,
    etag         TEXT     NOT NULL
);
CREATE INDEX answers_by_age ON answers (until);
