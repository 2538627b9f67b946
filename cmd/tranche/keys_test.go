package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"tranche/internal/auth"
	"tranche/storage/storagetest"
)

func TestKeysAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	require.NoError(t, db.EnsureProject(t.Context(), 1, 1, 1))
	past := time.Now().Add(-time.Hour)
	live := auth.Key{ID: uuid.New(), Label: "ci", Prefix: "trk_ab", Hash: "1", OrganizationID: 1, UserID: 1, Scopes: []auth.Scope{auth.ScopeRead}, CreatedAt: past}
	old := auth.Key{ID: uuid.New(), Hash: "2", OrganizationID: 1, UserID: 1, CreatedAt: past, ExpiresAt: &past}
	require.NoError(t, db.CreateKey(t.Context(), live))
	require.NoError(t, db.CreateKey(t.Context(), old))

	var out bytes.Buffer
	cmd := new(cobra.Command)
	cmd.SetOut(&out)
	cmd.SetContext(context.WithoutCancel(t.Context()))
	require.NoError(t, listKeys(cmd, db, 1))
	require.Regexp(t, live.ID.String()+` +trk_ab +ci +1 +batch_export:read .* never +usable`, out.String())
	require.Regexp(t, old.ID.String()+` .* expired `, out.String())

	require.NoError(t, revokeKey(cmd, db, live.ID))
	out.Reset()
	require.NoError(t, listKeys(cmd, db, 1))
	require.Regexp(t, live.ID.String()+` .* revoked `, out.String())
	require.ErrorContains(t, revokeKey(cmd, db, uuid.New()), "there is no key")
}
