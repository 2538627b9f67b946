-- What the source holds for the splits of a run, so that they are read as of one moment; '' = nothing.
ALTER TABLE splits ADD COLUMN snapshot text NOT NULL DEFAULT '';
