package main

import (
	"context"
	"fmt"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/postgres"
	"tranche/destinations/s3"
	"tranche/internal/safenet"
)

// plugins is the list of destinations. A new one is one line here.
func plugins(ctx context.Context, c config) (*destinations.Registry, error) {
	guard := safenet.Guard{Allow: c.AllowedNetworks}
	stores, err := s3Server(ctx, c, guard)
	if err != nil {
		return nil, err
	}
	return destinations.NewRegistry(append(
		s3.Plugins(stores),
		file.Plugin(file.Server{Root: c.FileRoot}),
		postgres.Plugin(postgres.Server{Guard: guard}),
	)...), nil
}

// What the server's own identity in AWS may be used for.
const (
	identityNone    = "none"
	identityRoles   = "roles"
	identityExports = "exports"
)

// s3Server finds the server's own identity in AWS as all programs do: in the environment, in files, or from the machine.
// It is not asked for anything before somebody needs it.
func s3Server(ctx context.Context, c config, guard safenet.Guard) (s3.Server, error) {
	server := s3.Server{Guard: guard, Role: c.AWSRole, Lend: c.AWSIdentity == identityExports}
	if c.AWSIdentity == identityNone {
		return server, nil
	}
	found, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return server, fmt.Errorf("find the identity in AWS: %w", err)
	}
	server.Credentials = found.Credentials
	return server, nil
}
