package main

import (
	"cmp"
	"context"
	"os"
	"os/user"

	"tranche/batch"
)

// byOperator says in the context that what is changed is changed at the command line, by which account and on which
// machine, for the audit log.
func byOperator(ctx context.Context) context.Context {
	account := "unknown"
	if u, err := user.Current(); err == nil {
		account = u.Username
	}
	machine, _ := os.Hostname() // without a name it is unknown
	return batch.WithAct(ctx, batch.Act{Actor: batch.Actor{
		Kind: batch.ActorOperator, Address: account + "@" + cmp.Or(machine, "unknown"),
	}})
}
