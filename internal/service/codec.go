package service

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"tranche/storage"
)

// What marks a payload that Codec sealed, as Temporal's samples and its Web UI have it.
const (
	encodingKey    = "encoding"
	encodingSealed = "binary/encrypted"
	sealedWithKey  = "encryption-key-id"
	labelPayload   = "tranche/temporal-payload/1\x00"
)

// A Codec seals what goes into workflow histories with AES-256-GCM. They hold ids, bounds and counts only, never secrets or
// rows: it is for those whose rules ask for it. Payloads that it did not seal pass through, so that it can be turned on
// while runs are in flight.
type Codec struct {
	keys []storage.MasterKey // the first one seals, all of them open
}

var _ converter.PayloadCodec = (*Codec)(nil)

// NewCodec makes a codec. The first key seals.
func NewCodec(keys []storage.MasterKey) (*Codec, error) {
	if _, err := storage.NewSealer(keys...); err != nil {
		return nil, err
	}
	return &Codec{keys: keys}, nil
}

// Encode seals payloads.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	sealed := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		text, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode a payload: %w", err)
		}
		sealed[i] = &commonpb.Payload{
			Metadata: map[string][]byte{encodingKey: []byte(encodingSealed), sealedWithKey: []byte(c.keys[0].String())},
			Data:     c.keys[0].Seal(text, []byte(labelPayload)),
		}
	}
	return sealed, nil
}

// Decode opens payloads that Encode sealed.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	opened := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[encodingKey]) != encodingSealed {
			opened[i] = p
			continue
		}
		text, err := c.open(string(p.GetMetadata()[sealedWithKey]), p.GetData())
		if err != nil {
			return nil, err
		}
		opened[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(text, opened[i]); err != nil {
			return nil, fmt.Errorf("decode a payload: %w", err)
		}
	}
	return opened, nil
}

func (c *Codec) open(id string, data []byte) ([]byte, error) {
	for _, key := range c.keys {
		if key.String() != id {
			continue
		}
		text, err := key.Open(data, []byte(labelPayload))
		if err != nil {
			return nil, errors.New("a payload was changed, or sealed with another key of the same id")
		}
		return text, nil
	}
	return nil, fmt.Errorf("a payload was sealed with the key %q, which is not here", id)
}
