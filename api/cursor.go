package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// An ordering is how a list is sorted.
type ordering struct {
	by   batch.Order
	desc bool
}

// orderingOf parses a column name with "-" in front for descending.
func orderingOf(text string) ordering {
	if len(text) > 0 && text[0] == '-' {
		return ordering{batch.Order(text[1:]), true}
	}
	return ordering{batch.Order(text), false}
}

// A cursor is a place between two rows of a list, and the direction in which to read from there.
type cursor struct {
	at   batch.Position
	back bool // towards the start of the list
}

// A token is a cursor as it travels. List binds it to one list: ordering, filters, export and team.
type token struct {
	List  []byte     `json:"l"`
	Value *time.Time `json:"v"`
	ID    uuid.UUID  `json:"i"`
	Back  bool       `json:"b,omitempty"`
}

const (
	macSize  = 16 // bytes of the HMAC that are kept
	listSize = 8  // bytes of the hash of a list's identity that are kept
)

// cursorCoding is strict: no two texts are the same cursor.
var cursorCoding = base64.RawURLEncoding.Strict()

// listHash identifies a list by everything that decides which rows it has and in what order.
func listHash(identity url.Values) []byte {
	sum := sha256.Sum256([]byte(identity.Encode()))
	return sum[:listSize]
}

// seal makes the text of a cursor.
func (s *Server) seal(list []byte, c cursor) (string, error) {
	payload, err := json.Marshal(token{List: list, Value: c.at.Value, ID: c.at.ID, Back: c.back})
	if err != nil {
		return "", err
	}
	return cursorCoding.EncodeToString(append(payload, s.cursorMAC(payload)...)), nil
}

// unseal reads the text of a cursor of the list. Whatever seal did not make for it is refused.
func (s *Server) unseal(list []byte, text string) (*cursor, error) {
	bad := invalid("cursor", codeInvalid, "Invalid cursor")
	raw, err := cursorCoding.DecodeString(text)
	if err != nil || len(raw) <= macSize {
		return nil, bad
	}
	payload, mac := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	if !hmac.Equal(mac, s.cursorMAC(payload)) {
		return nil, bad
	}
	var t token
	if err := json.Unmarshal(payload, &t); err != nil || !hmac.Equal(t.List, list) {
		return nil, bad
	}
	return &cursor{at: batch.Position{Value: t.Value, ID: t.ID}, back: t.Back}, nil
}

func (s *Server) cursorMAC(payload []byte) []byte {
	mac := hmac.New(sha256.New, s.CursorKey)
	mac.Write(payload)
	return mac.Sum(nil)[:macSize]
}
