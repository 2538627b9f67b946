-- The event store that is exported from. Tranche's own database is made by the image.
CREATE DATABASE events;
