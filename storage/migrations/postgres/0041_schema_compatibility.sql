-- The oldest binary, by the number of its newest migration, that can work with this database. A migration that older ones
-- cannot live with raises it; all others leave it alone, and binaries of two versions run side by side.
CREATE TABLE schema_compatibility (
    one           integer PRIMARY KEY CHECK (one = 1),
    oldest_binary integer NOT NULL
);
INSERT INTO schema_compatibility (one, oldest_binary) VALUES (1, 41);
