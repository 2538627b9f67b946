package storage

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

const (
	keyBytes = 32 // AES-256
	// The labels keep what is sealed for one purpose from being opened for another.
	labelConfig  = "tranche/export-config/1\x00"
	labelDataKey = "tranche/data-key/1\x00"
)

// ErrSealed is wrapped by every failure to open what is sealed: a key that is missing, or data that were changed.
var ErrSealed = errors.New("cannot open the sealed settings")

// A MasterKey seals the data keys of records. Its id stands in the clear beside what it seals.
type MasterKey struct {
	id   string
	key  *[keyBytes]byte // a pointer, so that printing a struct does not print the key
	aead cipher.AEAD
}

// ParseMasterKey reads "id:BASE64" of 32 bytes, as `openssl rand -base64 32` makes them. Errors do not quote the key.
func ParseMasterKey(text string) (MasterKey, error) {
	id, encoded, found := strings.Cut(strings.TrimSpace(text), ":")
	if !found || id == "" {
		return MasterKey{}, errors.New("a master key is ID:BASE64")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != keyBytes {
		return MasterKey{}, fmt.Errorf("master key %q: want %d bytes in base64", id, keyBytes)
	}
	return newMasterKey(id, [keyBytes]byte(key))
}

// ParseMasterKeys reads keys that are separated by commas, the newest first.
func ParseMasterKeys(text string) ([]MasterKey, error) {
	var keys []MasterKey
	for part := range strings.SplitSeq(text, ",") {
		key, err := ParseMasterKey(part)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// NewMasterKey makes a random key.
func NewMasterKey(id string) (MasterKey, error) {
	var key [keyBytes]byte
	_, _ = rand.Read(key[:]) // never fails: the runtime aborts instead
	return newMasterKey(id, key)
}

func newMasterKey(id string, key [keyBytes]byte) (MasterKey, error) {
	aead, err := newAEAD(key[:])
	if err != nil {
		return MasterKey{}, err
	}
	return MasterKey{id: id, key: &key, aead: aead}, nil
}

// Reveal returns the text that ParseMasterKey reads.
func (k MasterKey) Reveal() string {
	return k.id + ":" + base64.StdEncoding.EncodeToString(k.key[:])
}

// String returns the key's id.
func (k MasterKey) String() string { return k.id }

// Seal encrypts a text and binds it to what is bound: it opens with the same only.
func (k MasterKey) Seal(text, bound []byte) []byte { return k.aead.Seal(nil, nil, text, bound) }

// Open returns a text that Seal encrypted.
func (k MasterKey) Open(sealed, bound []byte) ([]byte, error) {
	return k.aead.Open(nil, nil, sealed, bound)
}

// newAEAD makes AES-256-GCM with a random nonce in front of each ciphertext.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// A Sealer seals destination settings at rest, by envelope: each record has a random data key of its own, which a
// master key wraps. What is sealed is bound to its export and team, so that it opens nowhere else.
type Sealer struct {
	keys []MasterKey // the first one seals
}

// NewSealer makes a sealer. The first key seals, all of them open.
func NewSealer(keys ...MasterKey) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("a master key is needed")
	}
	for i, key := range keys {
		if key.aead == nil {
			return nil, errors.New("a master key is empty")
		}
		if slices.ContainsFunc(keys[:i], func(k MasterKey) bool { return k.id == key.id }) {
			return nil, fmt.Errorf("two master keys have the id %q", key.id)
		}
	}
	return &Sealer{keys: slices.Clone(keys)}, nil
}

// sealed is an envelope: the text under its data key, and the data key under the master key that keyID names.
type sealed struct {
	text    []byte
	dataKey []byte
	keyID   string
}

// A place is where sealed settings belong.
type place struct {
	exportID uuid.UUID
	teamID   int64
}

// bind is the associated data for the label in this place.
func (p place) bind(label string) []byte {
	data := append([]byte(label), p.exportID[:]...)
	return binary.BigEndian.AppendUint64(data, uint64(p.teamID))
}

// seal makes an envelope under the newest key.
func (s *Sealer) seal(text []byte, at place) (sealed, error) {
	var key [keyBytes]byte
	_, _ = rand.Read(key[:]) // never fails: the runtime aborts instead
	aead, err := newAEAD(key[:])
	if err != nil {
		return sealed{}, err
	}
	return sealed{
		text:    aead.Seal(nil, nil, text, at.bind(labelConfig)),
		dataKey: s.wrap(key[:], at),
		keyID:   s.newest().id,
	}, nil
}

// open returns the text of an envelope.
func (s *Sealer) open(e sealed, at place) ([]byte, error) {
	key, err := s.unwrap(e, at)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	text, err := aead.Open(nil, nil, e.text, at.bind(labelConfig))
	if err != nil {
		return nil, fmt.Errorf("%w: they were changed", ErrSealed)
	}
	return text, nil
}

// rewrap returns the envelope with its data key under the newest master key. The text stays as it is.
func (s *Sealer) rewrap(e sealed, at place) (sealed, error) {
	key, err := s.unwrap(e, at)
	if err != nil {
		return sealed{}, err
	}
	return sealed{text: e.text, dataKey: s.wrap(key, at), keyID: s.newest().id}, nil
}

func (s *Sealer) newest() MasterKey { return s.keys[0] }

func (s *Sealer) holds(id string) bool {
	return slices.ContainsFunc(s.keys, func(k MasterKey) bool { return k.id == id })
}

func (s *Sealer) wrap(key []byte, at place) []byte {
	return s.newest().aead.Seal(nil, nil, key, at.bind(labelDataKey))
}

func (s *Sealer) unwrap(e sealed, at place) ([]byte, error) {
	i := slices.IndexFunc(s.keys, func(k MasterKey) bool { return k.id == e.keyID })
	if i < 0 {
		return nil, fmt.Errorf("%w: no master key has the id %q", ErrSealed, e.keyID)
	}
	key, err := s.keys[i].aead.Open(nil, nil, e.dataKey, at.bind(labelDataKey))
	if err != nil {
		return nil, fmt.Errorf("%w: the data key does not belong here", ErrSealed)
	}
	return key, nil
}
