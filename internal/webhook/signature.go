package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// The headers of a webhook, as the Standard Webhooks specification has them.
const (
	HeaderID        = "Webhook-Id"        // of the notification: the same for every try
	HeaderTimestamp = "Webhook-Timestamp" // of this try, in seconds since 1970
	HeaderSignature = "Webhook-Signature" // "v1," and the signature in base64; several, with a space between them, while a secret is replaced
	HeaderEvent     = "Tranche-Event"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	// leastSecret and mostSecret are how many bytes a secret may have.
	leastSecret = 24
	mostSecret  = 64
)

// ErrSecret says what a secret must look like.
var ErrSecret = errors.New(`a secret is "whsec_" and 24 to 64 bytes in base64`)

// NewSecret makes a random secret.
func NewSecret() string {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: the runtime aborts instead
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// keyOf returns the key that a secret stands for, or ErrSecret.
func keyOf(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return nil, ErrSecret
	}
	return key, nil
}

// CheckSecret returns ErrSecret unless the secret is one.
func CheckSecret(secret string) error {
	_, err := keyOf(secret)
	return err
}

// Sign returns the signature of a body: HMAC-SHA256 over id, timestamp and body, with dots between them.
func Sign(secret, id, timestamp string, body []byte) (string, error) {
	key, err := keyOf(secret)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// NewSecret makes a random secret.
func (*Sender) NewSecret() string { return NewSecret() }

// CheckSecret returns ErrSecret unless the secret is one.
func (*Sender) CheckSecret(secret string) error { return CheckSecret(secret) }
