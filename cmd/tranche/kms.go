package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"tranche/storage"
)

// kms is what opens wrapped master keys; nil = nothing. Another kind is one more case here.
func (c config) kms() storage.KMS {
	if len(c.KMSCommand) == 0 {
		return nil
	}
	return commandKMS{command: c.KMSCommand}
}

const (
	// kmsTimeout bounds the opening of one key.
	kmsTimeout = 20 * time.Second
	// mostKMSOutput bounds what a program may print.
	mostKMSOutput = 64 << 10
)

// A commandKMS is a program of the operator's, such as the client of a cloud's key service. It gets the id of a key as its
// last argument and the wrapped key on its standard input, and prints the key, both in base64.
type commandKMS struct {
	command []string
}

var _ storage.KMS = commandKMS{}

// Unwrap runs the program once. What it says on its standard error is the operator's to read; what it prints is the key.
func (k commandKMS) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
	defer cancel()
	out, said := bounded{most: mostKMSOutput}, bounded{most: mostKMSOutput}
	program := exec.CommandContext(ctx, k.command[0], append(append([]string{}, k.command[1:]...), id)...)
	program.Stdin = strings.NewReader(base64.StdEncoding.EncodeToString(wrapped) + "\n")
	program.Stdout, program.Stderr = &out, &said
	program.WaitDelay = time.Second
	err := program.Run()
	if out.full || said.full {
		return nil, fmt.Errorf("%s prints too much", k.command[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", k.command[0], err, strings.TrimSpace(said.text.String()))
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out.text.String()))
	if err != nil {
		return nil, fmt.Errorf("%s: what it prints is not base64", k.command[0]) // it may be the key: not quoted
	}
	return key, nil
}

// A bounded buffer refuses more than the most.
type bounded struct {
	text bytes.Buffer
	most int
	full bool // more was refused
}

// Write is the io.Writer's.
func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.most {
		b.full = true
		return 0, errors.New("too much")
	}
	return b.text.Write(p)
}
