package storage

import (
	"context"

	"github.com/google/uuid"
)

// Installation is who we are among those who share a Temporal namespace. A migration has chosen it.
func (db *DB) Installation(ctx context.Context) (id uuid.UUID, err error) {
	err = db.reading(ctx).Raw("SELECT id FROM installation").Row().Scan(&id)
	return id, classify("read the installation", err)
}
