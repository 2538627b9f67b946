-- Who did what. Entries are written in the transaction of the change that they tell of.
CREATE TABLE audit_log (
    id              uuid        PRIMARY KEY,
    team_id         bigint      NOT NULL, -- 0 = about an organization
    organization_id bigint      NOT NULL, -- 0 = about a team
    export_id       uuid,                 -- no reference: an entry outlives what it is about
    subject_id      uuid,
    action          text        NOT NULL,
    actor           text        NOT NULL,
    user_id         bigint      NOT NULL,
    key_id          uuid,
    key_prefix      text        NOT NULL,
    address         text        NOT NULL,
    request_id      text        NOT NULL,
    note            text        NOT NULL,
    changes         jsonb       NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX audit_log_of_team ON audit_log (team_id, created_at, id);
CREATE INDEX audit_log_of_team_by_action ON audit_log (team_id, action, created_at, id);
CREATE INDEX audit_log_of_export ON audit_log (export_id, created_at, id) WHERE export_id IS NOT NULL;
CREATE INDEX audit_log_of_organization ON audit_log (organization_id, created_at, id) WHERE team_id = 0;
CREATE INDEX audit_log_by_age ON audit_log (created_at, id);

-- The one row that this may have exists only inside of the transaction that removes what is older than the operator wants
-- entries to be kept.
CREATE TABLE audit_retention (
    id            integer     PRIMARY KEY CHECK (id = 1),
    delete_before timestamptz NOT NULL
);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM audit_retention WHERE OLD.created_at < delete_before) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_log_rows_stay BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_log_stays BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
