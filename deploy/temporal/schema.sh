#!/bin/sh
# Creates or updates Temporal's two databases. Safe to run again.
set -eu

for database in temporal temporal_visibility; do
	tool() {
		SQL_PASSWORD="$POSTGRES_PWD" temporal-sql-tool --plugin postgres12 \
			--endpoint "$POSTGRES_SEEDS" --port "$DB_PORT" --user "$POSTGRES_USER" --database "$database" "$@"
	}
	case "$database" in
	temporal) schema=temporal ;;
	*) schema=visibility ;;
	esac
	tool create-database
	tool setup-schema --version 0.0
	tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
