-- What an export wants of its model: filters, a query of the customer's, and how its rows are merged. JSON; null = all of it.
ALTER TABLE exports ADD COLUMN selection text;
ALTER TABLE export_revisions ADD COLUMN selection text;
