-- Who we are among those who share a Temporal namespace: schedules carry it, and are removed by nobody else. It is written
-- once, and a backup has it: a database that was restored is the same installation.
CREATE TABLE installation (
    one integer PRIMARY KEY CHECK (one = 1),
    id  text    NOT NULL
);
INSERT INTO installation (one, id) SELECT 1, lower(printf('%s-%s-4%s-8%s-%s',
    hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2), substr(hex(randomblob(2)), 2), hex(randomblob(6))));
