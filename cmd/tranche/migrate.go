package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tranche/storage"
)

func migrateCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database up to this version"}
	cmd.AddCommand(
		migrateUpCommand(getenv),
		&cobra.Command{
			Use: "status", Short: "Say which migrations are missing", Args: cobra.NoArgs,
			RunE: withDatabase(getenv, printStatus),
		},
	)
	return cmd
}

func migrateUpCommand(getenv func(string) string) *cobra.Command {
	var shared bool
	cmd := &cobra.Command{
		Use: "up", Short: "Run the migrations that are missing", Args: cobra.NoArgs,
		Long: "Run the migrations that are missing. A database that has tables of something else and none of ours is refused: most likely its\n" +
			"URL is wrong. Give the service a database of its own, or a schema of its own with search_path in TRANCHE_DATABASE_URL.",
		RunE: withUnlimitedDatabase(getenv, func(cmd *cobra.Command, db *storage.DB) error {
			migrate := db.Migrate
			if shared {
				migrate = db.MigrateShared
			}
			err := migrate(cmd.Context())
			if strangers, ok := errors.AsType[*storage.StrangersError](err); ok && !strangers.Taken {
				return fmt.Errorf("%w with --shared", strangers)
			}
			if err != nil {
				return err
			}
			return printStatus(cmd, db)
		}),
	}
	cmd.Flags().BoolVar(&shared, "shared", false, "put the tables among those of something else")
	return cmd
}

func printStatus(cmd *cobra.Command, db *storage.DB) error {
	status, err := db.MigrationStatus(cmd.Context())
	if err != nil {
		return err
	}
	missing := ""
	if !status.Current() {
		missing = fmt.Sprintf(", missing %v: run \"tranche migrate up\"", status.Missing)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "database at migration %d, this binary at %d%s\n", status.Database, status.Binary, missing)
	return err
}

// withDatabase opens the database for one short command.
func withDatabase(getenv func(string) string, do func(*cobra.Command, *storage.DB) error) func(*cobra.Command, []string) error {
	return withUnlimitedDatabase(getenv, func(cmd *cobra.Command, db *storage.DB) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), openTimeout)
		defer cancel()
		cmd.SetContext(ctx)
		return do(cmd, db)
	})
}

// withUnlimitedDatabase opens the database for one command, which may take its time.
func withUnlimitedDatabase(getenv func(string) string, do func(*cobra.Command, *storage.DB) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) (err error) {
		c, err := readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_MASTER_KEYS")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), openTimeout)
		defer cancel()
		db, err := openDatabase(ctx, c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		return do(cmd, db)
	}
}
