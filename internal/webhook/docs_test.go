package webhook_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/doctest"
	"tranche/internal/webhook"
)

// TestTheExamplesOfTheDocsCheckSignatures runs the programs that the docs give to customers: they take what is signed and
// refuse what is not.
func TestTheExamplesOfTheDocsCheckSignatures(t *testing.T) {
	t.Parallel()
	page := doctest.Read(t, "docs/notifications.md")
	for language, c := range map[string]struct {
		file    string
		command []string
		old     bool // it refuses what is old
	}{
		"python": {"verify.py", []string{"python3"}, true},
		"sh":     {"verify.sh", []string{"sh"}, false},
		"go":     {"verify.go", []string{"go", "run"}, true},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			for _, program := range []string{c.command[0], "openssl", "base64", "od"} {
				if _, err := exec.LookPath(program); err != nil && (program == c.command[0] || language == "sh") {
					if os.Getenv("CI") == "true" {
						t.Fatalf("%s is missing", program)
					}
					t.Skipf("%s is missing", program)
				}
			}
			file := filepath.Join(t.TempDir(), c.file)
			require.NoError(t, os.WriteFile(file, []byte(page.Block(t, "verify-"+language).Text), 0o600))
			body, err := webhook.Body(batch.KindWebhook, notification())
			require.NoError(t, err)
			secret, id, now := webhook.NewSecret(), uuid.NewString(), time.Now().Unix()
			accepts := func(secret, id string, at int64, body []byte, signature string) bool {
				return verify(t, append(c.command, file), []string{
					"SECRET=" + secret, "ID=" + id, "TIMESTAMP=" + strconv.FormatInt(at, 10), "SIGNATURE=" + signature,
				}, body)
			}
			sign := func(at int64) string {
				signature, err := webhook.Sign(secret, id, strconv.FormatInt(at, 10), body)
				require.NoError(t, err)
				return signature
			}
			require.True(t, accepts(secret, id, now, body, sign(now)), "what is signed is taken")
			require.False(t, accepts(webhook.NewSecret(), id, now, body, sign(now)), "another secret")
			require.True(t, accepts(secret, id, now, body, "v1,b3RoZXI= "+sign(now)), "the secret is being replaced")
			require.False(t, accepts(secret, id, now, body, "v1,b3RoZXI= v1,dGhpcmQ="), "others' signatures")
			require.False(t, accepts(secret, uuid.NewString(), now, body, sign(now)), "another id")
			require.False(t, accepts(secret, id, now, append(body, ' '), sign(now)), "another body")
			require.False(t, accepts(secret, id, now+1, body, sign(now)), "another time")
			require.Equal(t, !c.old, accepts(secret, id, now-3600, body, sign(now-3600)), "what is old")
		})
	}
}

// verify runs a program and says whether it ends well.
func verify(t *testing.T, command, environment []string, body []byte) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = bytes.NewReader(body)
	out, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err())
	require.NotContains(t, string(out), "Traceback", "it refuses, it does not break")
	require.NotContains(t, string(out), "not found")
	return err == nil
}
