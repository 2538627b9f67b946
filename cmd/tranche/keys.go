package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/internal/auth"
	"tranche/storage"
)

func keysCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Manage API keys"}
	cmd.AddCommand(createKeyCommand(getenv))
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
	if err := db.CreateKey(cmd.Context(), key); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}
