-- Who we are among those who share a Temporal namespace: schedules carry it, and are removed by nobody else. It is written
-- once, and a backup has it: a database that was restored is the same installation.
CREATE TABLE installation (
    one integer PRIMARY KEY CHECK (one = 1),
    id  uuid    NOT NULL
);
INSERT INTO installation (one, id) VALUES (1, gen_random_uuid());
