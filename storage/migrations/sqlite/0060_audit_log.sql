-- Who did what. Entries are written in the transaction of the change that they tell of.
CREATE TABLE audit_log (
    id              TEXT     PRIMARY KEY,
    team_id         INTEGER  NOT NULL, -- 0 = about an organization
    organization_id INTEGER  NOT NULL, -- 0 = about a team
    export_id       TEXT,              -- no reference: an entry outlives what it is about
    subject_id      TEXT,
    action          TEXT     NOT NULL,
    actor           TEXT     NOT NULL,
    user_id         INTEGER  NOT NULL,
    key_id          TEXT,
    key_prefix      TEXT     NOT NULL,
    address         TEXT     NOT NULL,
    request_id      TEXT     NOT NULL,
    note            TEXT     NOT NULL,
    changes         TEXT     NOT NULL,
    created_at      DATETIME NOT NULL
);
CREATE INDEX audit_log_of_team ON audit_log (team_id, created_at, id);
CREATE INDEX audit_log_of_team_by_action ON audit_log (team_id, action, created_at, id);
CREATE INDEX audit_log_of_export ON audit_log (export_id, created_at, id) WHERE export_id IS NOT NULL;
CREATE INDEX audit_log_of_organization ON audit_log (organization_id, created_at, id) WHERE team_id = 0;
CREATE INDEX audit_log_by_age ON audit_log (created_at, id);

-- The one row that this may have exists only inside of the transaction that removes what is older than the operator wants
-- entries to be kept.
CREATE TABLE audit_retention (
    id            INTEGER  PRIMARY KEY CHECK (id = 1),
    delete_before DATETIME NOT NULL
);

CREATE TRIGGER audit_log_rows_do_not_change BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_log_rows_stay BEFORE DELETE ON audit_log
WHEN NOT EXISTS (SELECT 1 FROM audit_retention WHERE OLD.created_at < delete_before)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
