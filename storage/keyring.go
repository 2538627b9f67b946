package storage

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// wrappedMark stands before a master key that is not in the clear: ID:kms:BASE64.
const wrappedMark = "kms:"

// A KMS opens master keys that our settings hold wrapped. It is asked once for each, when a process starts: no run waits for
// it, and one that is down later stops nothing.
type KMS interface {
	// Unwrap returns the 32 bytes of a key. Its errors must not quote them.
	Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error)
}

// A KeyRing is master keys as settings name them: in the clear, or wrapped. The first one seals, all of them open.
type KeyRing struct {
	entries []ringEntry
}

// A ringEntry is a key, or what a KMS makes one of.
type ringEntry struct {
	key     MasterKey
	id      string
	wrapped []byte
}

// ParseKeyRing reads keys that are separated by commas or line breaks, each ID:BASE64 of 32 bytes, as `openssl rand -base64 32`
// makes them, or ID:kms:BASE64. Errors do not quote keys.
func ParseKeyRing(text string) (KeyRing, error) {
	var ring KeyRing
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part == "" {
			return KeyRing{}, errors.New("there is a comma too many")
		}
		entry, err := parseEntry(part)
		if err != nil {
			return KeyRing{}, err
		}
		ring.entries = append(ring.entries, entry)
	}
	if len(ring.entries) == 0 {
		return KeyRing{}, errors.New("a master key is needed")
	}
	return ring, nil
}

func parseEntry(text string) (ringEntry, error) {
	id, rest, _ := strings.Cut(text, ":")
	encoded, found := strings.CutPrefix(rest, wrappedMark)
	if !found {
		key, err := ParseMasterKey(text)
		return ringEntry{key: key, id: key.id}, err
	}
	wrapped, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(wrapped) == 0 || id == "" {
		return ringEntry{}, fmt.Errorf("master key %q: want %sBASE64 of what the KMS made of it", id, wrappedMark)
	}
	return ringEntry{id: id, wrapped: wrapped}, nil
}

// Wrapped says whether a KMS is needed.
func (r KeyRing) Wrapped() bool {
	for _, e := range r.entries {
		if e.wrapped != nil {
			return true
		}
	}
	return false
}

// Open returns the keys, the newest first. The KMS may be nil when none is wrapped.
func (r KeyRing) Open(ctx context.Context, kms KMS) ([]MasterKey, error) {
	keys := make([]MasterKey, len(r.entries))
	for i, e := range r.entries {
		if e.wrapped == nil {
			keys[i] = e.key
			continue
		}
		if kms == nil {
			return nil, fmt.Errorf("master key %q is wrapped, and there is no KMS to open it", e.id)
		}
		plain, err := kms.Unwrap(ctx, e.id, e.wrapped)
		if err != nil {
			return nil, fmt.Errorf("master key %q: the KMS does not open it: %w", e.id, err)
		}
		if len(plain) != keyBytes {
			return nil, fmt.Errorf("master key %q: the KMS made %d bytes of it, want %d", e.id, len(plain), keyBytes)
		}
		if keys[i], err = newMasterKey(e.id, [keyBytes]byte(plain)); err != nil {
			return nil, err
		}
	}
	return keys, nil
}
