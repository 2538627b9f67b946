package clickhouse

import (
	"bytes"
	"errors"
	"io"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// revision is the newest of the native protocol that the answers are written in.
const revision = 54460

// A sink writes pieces of an answer.
type sink struct {
	io.Writer
	// native has blocks written as a client wants them that named its protocol's version: the engine writes them as for
	// one that did not.
	native bool
}

func (s sink) write(piece []byte) error {
	if !s.native {
		_, err := s.Write(piece)
		return err
	}
	from := chproto.NewReader(bytes.NewReader(piece))
	for {
		block := proto.Block{ServerContext: &column.ServerContext{
			Revision: revision, VersionMajor: 26, VersionMinor: 7, Timezone: time.UTC,
		}}
		if err := block.Decode(from, 0); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var buffer chproto.Buffer
		if err := block.Encode(&buffer, revision); err != nil {
			return err
		}
		if _, err := s.Write(buffer.Buf); err != nil {
			return err
		}
	}
}
