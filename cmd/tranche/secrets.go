package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tranche/storage"
)

func secretsCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "secrets", Short: "See which master keys seal what, and replace them"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "status", Short: "Count what each master key seals; exit 1 if one that is needed is missing or wrong", Args: cobra.NoArgs,
			RunE: withDatabase(getenv, secretsStatus),
		},
		&cobra.Command{
			Use: "rotate", Short: "Put everything under the first of TRANCHE_MASTER_KEYS, beside running processes", Args: cobra.NoArgs,
			RunE: withUnlimitedDatabase(getenv, rotateSecrets),
		},
	)
	return cmd
}

func secretsStatus(cmd *cobra.Command, db *storage.DB) error {
	return errors.Join(printKeyUses(cmd, db), db.CheckKeys(cmd.Context()))
}

func printKeyUses(cmd *cobra.Command, db *storage.DB) error {
	uses, err := db.KeyUses(cmd.Context())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "MASTER KEY\tSEALS\tSTATE")
	for _, u := range uses {
		fmt.Fprintf(w, "%s\t%d\t%s\n", u.ID, u.Records, stateOfKey(u))
	}
	return w.Flush()
}

// stateOfKey says in words what is to be done with a key.
func stateOfKey(u storage.KeyUse) string {
	switch {
	case !u.Held:
		return "missing: add it to TRANCHE_MASTER_KEYS"
	case u.Newest:
		return "seals what is written"
	case u.Records > 0:
		return "opens what it sealed; \"tranche secrets rotate\" replaces it"
	}
	return "not needed any more"
}

// rotations bounds how often records that were written meanwhile are looked for again.
const rotations = 10

// rotateSecrets puts all under the newest key. A process that still has another key in front may seal something under it
// meanwhile, which is looked for again.
func rotateSecrets(cmd *cobra.Command, db *storage.DB) error {
	if err := db.CheckKeys(cmd.Context()); err != nil {
		return err
	}
	var total int64
	for range rotations {
		n, err := db.Rotate(cmd.Context())
		total += n
		if err != nil {
			return fmt.Errorf("%d records were put under the newest key, the others not: %w", total, err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d records were put under the newest key\n", total); err != nil {
		return err
	}
	if err := printKeyUses(cmd, db); err != nil {
		return err
	}
	uses, err := db.KeyUses(cmd.Context())
	if err != nil {
		return err
	}
	for _, u := range uses {
		if !u.Newest && u.Records > 0 {
			return fmt.Errorf("%d records are under the key %q again: a process still has it in front; start all of them with the new key "+
				"in front, and rotate again", u.Records, u.ID)
		}
	}
	return nil
}
