package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/auth"
	"tranche/storage"
)

func keysCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Manage API keys"}
	cmd.AddCommand(createKeyCommand(getenv), listKeysCommand(getenv), revokeKeyCommand(getenv))
	return cmd
}

// A keyRequest is a key that an operator asks for.
type keyRequest struct {
	organization, project, user int64
	scopes                      []string
	label                       string
	secret                      string
	expires                     time.Duration
}

func createKeyCommand(getenv func(string) string) *cobra.Command {
	var r keyRequest
	cmd := &cobra.Command{
		Use: "create", Short: "Make an API key, and its organization and project; print the key, once", Args: cobra.NoArgs,
		RunE: withDatabase(getenv, func(cmd *cobra.Command, db *storage.DB) error { return createKey(cmd, db, r) }),
	}
	flags := cmd.Flags()
	flags.Int64Var(&r.organization, "organization", 1, "id of the organization")
	flags.Int64Var(&r.project, "project", 1, "id of a project of the organization, made when it is missing")
	flags.Int64Var(&r.user, "user", 1, "id of the user")
	flags.StringSliceVar(&r.scopes, "scope", []string{string(auth.ScopeAll)}, "batch_export:read, batch_export:write or *")
	flags.StringVar(&r.label, "label", "", "what the key is for")
	flags.StringVar(&r.secret, "key", "", "use this key; empty = a random one")
	flags.DurationVar(&r.expires, "expires", 0, "how long the key lives; 0 = for ever")
	return cmd
}

func createKey(cmd *cobra.Command, db *storage.DB, r keyRequest) error {
	now := time.Now().UTC()
	key := auth.Key{
		ID: uuid.Must(uuid.NewV7()), Label: r.label, OrganizationID: r.organization, UserID: r.user, CreatedAt: now,
	}
	for _, s := range r.scopes {
		scope, ok := auth.ParseScope(s)
		if !ok {
			return fmt.Errorf("%q is not a scope", s)
		}
		key.Scopes = append(key.Scopes, scope)
	}
	if r.expires < 0 {
		return fmt.Errorf("--expires must not be negative")
	}
	if r.expires > 0 {
		at := now.Add(r.expires)
		key.ExpiresAt = &at
	}
	secret := r.secret
	if secret == "" {
		secret = auth.NewSecret()
	}
	if err := auth.CheckSecret(secret); err != nil {
		return err
	}
	key.Hash, key.Prefix = auth.Hash(secret), auth.Prefix(secret)
	if err := db.EnsureProject(cmd.Context(), r.organization, r.project, r.user); err != nil {
		return err
	}
	if err := db.CreateKey(byOperator(cmd.Context()), key); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}

func listKeysCommand(getenv func(string) string) *cobra.Command {
	var organization int64
	cmd := &cobra.Command{
		Use: "list", Short: "List the API keys of an organization", Args: cobra.NoArgs,
		RunE: withDatabase(getenv, func(cmd *cobra.Command, db *storage.DB) error { return listKeys(cmd, db, organization) }),
	}
	cmd.Flags().Int64Var(&organization, "organization", 1, "id of the organization")
	return cmd
}

func listKeys(cmd *cobra.Command, db *storage.DB, organization int64) error {
	keys, err := db.ListKeys(cmd.Context(), organization)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tBEGINS WITH\tLABEL\tUSER\tSCOPES\tCREATED\tLAST USED\tSTATE")
	for _, k := range keys {
		scopes := make([]string, len(k.Scopes))
		for i, scope := range k.Scopes {
			scopes[i] = string(scope)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", k.ID, k.Prefix, k.Label, k.UserID, strings.Join(scopes, ","),
			k.CreatedAt.Format(time.RFC3339), timeOrNever(k.LastUsedAt), stateOf(k, time.Now()))
	}
	return w.Flush()
}

func timeOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}

// stateOf says in words whether a key may be used.
func stateOf(k auth.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked " + k.RevokedAt.Format(time.RFC3339)
	case !k.Usable(now):
		return "expired " + k.ExpiresAt.Format(time.RFC3339)
	case k.ExpiresAt != nil:
		return "until " + k.ExpiresAt.Format(time.RFC3339)
	}
	return "usable"
}

func revokeKeyCommand(getenv func(string) string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End an API key, at once and for ever", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return fmt.Errorf("%q is not the id of a key: see \"tranche keys list\"", args[0])
			}
			return withDatabase(getenv, func(cmd *cobra.Command, db *storage.DB) error { return revokeKey(cmd, db, id) })(cmd, args)
		},
	}
}

func revokeKey(cmd *cobra.Command, db *storage.DB, id uuid.UUID) error {
	err := db.RevokeKey(byOperator(cmd.Context()), id, time.Now().UTC())
	if errors.Is(err, batch.ErrNotFound) {
		return fmt.Errorf("there is no key with the id %s", id)
	}
	return err
}
