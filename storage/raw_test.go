package storage

import "context"

// Exec executes a statement as somebody would who has the database's password.
func (db *DB) Exec(ctx context.Context, statement string) error {
	return db.write.WithContext(ctx).Exec(statement).Error
}
