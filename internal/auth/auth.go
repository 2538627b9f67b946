// Package auth knows who may call the API: projects, users and their personal keys with scopes.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Scope is a right that a key carries.
type Scope string

// The scopes. Write implies read.
const (
	ScopeRead  Scope = "batch_export:read"
	ScopeWrite Scope = "batch_export:write"
	ScopeAll   Scope = "*"
)

// ParseScope accepts the scopes above.
func ParseScope(s string) (Scope, bool) {
	scope := Scope(s)
	return scope, slices.Contains([]Scope{ScopeRead, ScopeWrite, ScopeAll}, scope)
}

// A Key is a personal API key. The secret itself is shown once and never stored.
type Key struct {
	ID             uuid.UUID
	Label          string
	Prefix         string // the first characters of the secret, to recognise it by
	Hash           string // SHA-256 of the secret, hexadecimal
	OrganizationID int64
	UserID         int64
	Scopes         []Scope
	CreatedAt      time.Time
	LastUsedAt     *time.Time
	ExpiresAt      *time.Time
	RevokedAt      *time.Time
}

// A Project owns exports; its id is the API's team_id. It belongs to an organization.
type Project struct {
	ID             int64
	OrganizationID int64
	Name           string
	Timezone       string
}

// Secrets are 16 to 256 printable ASCII characters.
const (
	minSecret   = 16
	maxSecret   = 256
	prefixChars = 8
)

// ErrSecret says what a secret must look like.
var ErrSecret = errors.New("an API key is 16 to 256 printable ASCII characters without spaces")

// NewSecret returns a random secret with 256 bits.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime aborts instead
	return "trk_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// CheckSecret says whether s can be a secret: ErrSecret or nil.
func CheckSecret(s string) error {
	if len(s) < minSecret || len(s) > maxSecret {
		return ErrSecret
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ErrSecret
		}
	}
	return nil
}

// Hash is how a secret is stored and looked up. Secrets are long and random, so a fast hash is enough, and looking up by
// hash leaks nothing through timing.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Prefix is the part of a secret that may be shown again. Short secrets show less.
func Prefix(secret string) string { return secret[:min(prefixChars, len(secret)/4)] }

// Usable says whether the key is neither revoked nor expired at now.
func (k Key) Usable(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

// Allows says whether the key carries the scope.
func (k Key) Allows(want Scope) bool {
	for _, have := range k.Scopes {
		if have == want || have == ScopeAll || have == ScopeWrite && want == ScopeRead {
			return true
		}
	}
	return false
}
