package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A KeyUse is a master key by what it seals.
type KeyUse struct {
	ID string
	// Records is how many it seals.
	Records int64
	// Held says whether this process has it, Newest whether it seals what is written now.
	Held, Newest bool
}

// A KeyError says that what is stored cannot be opened: a master key is missing, or another one goes by its id.
type KeyError struct {
	// Missing are the ids of keys that are needed and not there, Wrong of those that do not open what they sealed.
	Missing, Wrong []string
}

// Error says what to do.
func (e *KeyError) Error() string {
	var problems []error
	if len(e.Missing) > 0 {
		problems = append(problems, fmt.Errorf("the database holds secrets under the master keys %q, which are not here: "+
			"add them behind the first of TRANCHE_MASTER_KEYS, or restore the keys that belong to this database", e.Missing))
	}
	if len(e.Wrong) > 0 {
		problems = append(problems, fmt.Errorf("the master keys %q of TRANCHE_MASTER_KEYS are others than those that sealed the "+
			"secrets in the database: restore the keys that belong to this database", e.Wrong))
	}
	return errors.Join(problems...).Error()
}

// Is makes a KeyError an ErrSealed.
func (e *KeyError) Is(target error) bool { return target == ErrSealed } //nolint:errorlint // errors.Is asks for identity here

// mostKeys bounds how many master keys a database may have in use.
const mostKeys = 1000

// CheckKeys says whether the master keys open what is stored. It opens one record for each key in use, in each table, by
// an index: it is made for every start of a process. What it finds wrong is a *KeyError.
func (db *DB) CheckKeys(ctx context.Context) error {
	var found KeyError
	for _, sample := range []func(context.Context, string) (sealedRecord, error){
		sampler[exportRow](db), sampler[revisionRow](db), sampler[subscriptionRow](db),
	} {
		keyID := ""
		for range mostKeys {
			record, err := sample(ctx, keyID)
			if err != nil {
				return classify("check master keys", err)
			}
			if record.name == "" {
				break
			}
			keyID = record.envelope.keyID
			if _, err := db.sealer.unwrap(record.envelope, record.place); err == nil {
				continue
			}
			if db.sealer.holds(keyID) {
				found.Wrong = append(found.Wrong, keyID)
			} else {
				found.Missing = append(found.Missing, keyID)
			}
		}
	}
	if len(found.Missing)+len(found.Wrong) == 0 {
		return nil
	}
	found.Missing, found.Wrong = distinct(found.Missing), distinct(found.Wrong)
	return &found
}

// sampler returns a record of a table under the key whose id comes next; without a name = there is none.
func sampler[R interface{ sealedRecord() sealedRecord }](db *DB) func(ctx context.Context, after string) (sealedRecord, error) {
	return func(ctx context.Context, after string) (sealedRecord, error) {
		var rows []R
		err := db.reading(ctx).Where("config_key_id > ?", after).Order("config_key_id").Limit(1).Find(&rows).Error
		if err != nil || len(rows) == 0 {
			return sealedRecord{}, err
		}
		return rows[0].sealedRecord(), nil
	}
}

// KeyUses counts what each master key seals, those of this process first. It reads an index of all records.
func (db *DB) KeyUses(ctx context.Context) ([]KeyUse, error) {
	var counted []struct {
		ConfigKeyID string
		Records     int64
	}
	err := db.reading(ctx).Raw(`SELECT config_key_id, SUM(records) AS records FROM (
		SELECT config_key_id, COUNT(*) AS records FROM exports GROUP BY config_key_id
		UNION ALL SELECT config_key_id, COUNT(*) FROM export_revisions GROUP BY config_key_id
		UNION ALL SELECT config_key_id, COUNT(*) FROM subscriptions GROUP BY config_key_id
	) AS each_table GROUP BY config_key_id ORDER BY config_key_id`).Scan(&counted).Error
	if err != nil {
		return nil, classify("count the uses of master keys", err)
	}
	uses := make([]KeyUse, 0, len(db.sealer.keys))
	for i, key := range db.sealer.keys {
		uses = append(uses, KeyUse{ID: key.id, Held: true, Newest: i == 0})
	}
	for _, c := range counted {
		i := slices.IndexFunc(uses, func(u KeyUse) bool { return u.ID == c.ConfigKeyID })
		if i < 0 {
			uses = append(uses, KeyUse{ID: c.ConfigKeyID})
			i = len(uses) - 1
		}
		uses[i].Records = c.Records
	}
	return uses, nil
}

func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
