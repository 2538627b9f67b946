// Package secret holds text that must not be shown: passwords, keys, tokens.
package secret

import (
	"crypto/subtle"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a set secret prints, logs and encodes as.
const Redacted = "***"

// ErrInTheClear is returned where a secret would be stored unsealed.
var ErrInTheClear = errors.New("a secret cannot be stored in the clear")

// A String is a secret. However it is printed, logged or encoded, it shows as Redacted; Reveal is the only way in.
// The zero value is the empty secret. Compare with Equal: == compares identities.
//
// It holds a pointer because fmt cannot call methods on unexported fields: a struct with a secret inside prints an
// address, never the text.
type String struct {
	plaintext *string
}

// New makes a secret of the text.
func New(plaintext string) String { return String{plaintext: &plaintext} }

// Reveal returns the text itself.
func (s String) Reveal() string {
	if s.plaintext == nil {
		return ""
	}
	return *s.plaintext
}

// IsZero says whether the secret is empty.
func (s String) IsZero() bool { return s.Reveal() == "" }

// Equal compares the texts without telling through time where they differ.
func (s String) Equal(other String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Redacted, or nothing for the empty secret.
func (s String) String() string {
	if s.IsZero() {
		return ""
	}
	return Redacted
}

// GoString is String, for %#v.
func (s String) GoString() string { return s.String() }

// Format prints String whatever the verb is.
func (s String) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// LogValue is String, for slog.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText encodes String, never the text.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON encodes String, never the text.
func (s String) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText takes the text of a configuration.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}

// UnmarshalJSON takes a JSON string; null is the empty secret.
func (s *String) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a secret must be a string") // the decoder's error may quote the text
	}
	*s = String{plaintext: text}
	return nil
}

// Value refuses: a database must only ever see a sealed secret.
func (s String) Value() (driver.Value, error) { return nil, ErrInTheClear }
