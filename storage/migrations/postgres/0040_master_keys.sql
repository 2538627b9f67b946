-- Which master keys are in use is asked at every start of a process.
CREATE INDEX exports_by_master_key ON exports (config_key_id);
CREATE INDEX export_revisions_by_master_key ON export_revisions (config_key_id);
