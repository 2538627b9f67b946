// Package s3 describes the destinations that keep objects behind the S3 API: AwsS3, S3Compatible, and S3, which is both.
package s3

import (
	"context"
	"net/url"
	"strings"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
	"tranche/internal/secret"
	"tranche/query"
)

// The names of the destinations in the API.
const (
	Type           = "S3"
	TypeAWS        = "AwsS3"
	TypeCompatible = "S3Compatible"
)

// A Server is what the server, not the customer, says about object stores.
type Server struct {
	// Guard refuses endpoints in our own network; nil = any endpoint will do, as on a laptop.
	Guard Guard
}

// A Guard says whether customers may name a host.
type Guard interface {
	Check(ctx context.Context, host string) error
}

// A Bucket is the settings that all have in common.
type Bucket struct {
	objects.Config
	BucketName      string        `json:"bucket_name" required:"true" description:"The bucket that files go to. It must exist."`
	Region          string        `json:"region" required:"true" description:"The region of the bucket, such as us-east-1."`
	Prefix          string        `json:"prefix" required:"true" description:"What keys start with: a template with the variables {year}, {month}, {day}, {hour}, {minute}, {second}, {data_interval_start}, {data_interval_end} and {table}."`
	AccessKeyID     secret.String `json:"aws_access_key_id" required:"true" secret:"true" description:"The id of the access key."`
	SecretAccessKey secret.String `json:"aws_secret_access_key" required:"true" secret:"true" description:"The secret of the access key."`
	LegacyExtension bool          `json:"legacy_parquet_extension" description:"Always false: names of compressed Parquet files end in .parquet."`
}

// Encryption says how AWS encrypts objects at rest.
type Encryption struct {
	Method *string `json:"encryption" enum:"AES256,aws:kms" description:"How objects are encrypted at rest; null = as the bucket says."`
	KMSKey *string `json:"kms_key_id" description:"The key for aws:kms; null = the account's own."`
}

// Endpoint says where an object store other than that of AWS is.
type Endpoint struct {
	URL              string `json:"endpoint_url" required:"true" description:"The address of the object store, such as https://storage.example.com."`
	VirtualAddresses bool   `json:"use_virtual_style_addressing" description:"Put the bucket's name before the host, not into the path."`
}

// An AWSConfig is a customer's settings for AwsS3.
type AWSConfig struct {
	Bucket
	Encryption
}

// A CompatibleConfig is a customer's settings for S3Compatible.
type CompatibleConfig struct {
	Bucket
	Endpoint
}

// A Config is a customer's settings for S3.
type Config struct {
	Bucket
	Encryption
	EndpointURL      *string `json:"endpoint_url" description:"The address of the object store; null = that of AWS."`
	VirtualAddresses bool    `json:"use_virtual_style_addressing" description:"Put the bucket's name before the host, not into the path."`
}

// The steps of the connection tests.
var (
	roleStep = destinations.Step{
		Name:        "Ensure we can assume provided AWS role",
		Description: "Assume the role of the integration, and see that it demands an external id.",
	}
	bucketStep = destinations.Step{
		Name:        "Check S3 bucket exists",
		Description: "Ask for the bucket with the credentials of the batch export.",
	}
)

// AWS returns the plugin of AwsS3.
func AWS(server Server) destinations.Plugin {
	return define(TypeAWS, "AWS S3", []destinations.Step{roleStep, bucketStep},
		func(c AWSConfig) Bucket { return c.Bucket },
		func(c AWSConfig) error { return c.Encryption.validate() })
}

// Compatible returns the plugin of S3Compatible.
func Compatible(server Server) destinations.Plugin {
	return define(TypeCompatible, "S3-compatible", []destinations.Step{bucketStep},
		func(c CompatibleConfig) Bucket { return c.Bucket },
		func(c CompatibleConfig) error { return server.checkEndpoint(c.URL) })
}

// Plugin returns the plugin of S3.
func Plugin(server Server) destinations.Plugin {
	return define(Type, "S3", []destinations.Step{bucketStep},
		func(c Config) Bucket { return c.Bucket },
		func(c Config) error {
			if err := c.Encryption.validate(); err != nil || c.EndpointURL == nil {
				return err
			}
			return server.checkEndpoint(*c.EndpointURL)
		})
}

func define[C any](
	kind, name string, steps []destinations.Step, bucket func(C) Bucket, validate func(C) error,
) destinations.Plugin {
	return destinations.Define(destinations.Definition[C]{
		Type: kind, Name: name, Guarantee: destinations.AtomicObjects, Steps: steps,
		Validate: func(c C) error {
			if err := bucket(c).validate(); err != nil {
				return err
			}
			return validate(c)
		},
		Columns:   func(_ C, model batch.Model) ([]query.Column, error) { return objects.Columns(model) },
		MaxSplits: func(c C) int { return bucket(c).Splits() },
		Open: func(context.Context, C) (destinations.Destination, error) {
			return nil, batch.Errorf(batch.CodeDestinationClosed, nil, "staging to this destination is not available in this version")
		},
	})
}

// validate checks what tags cannot say.
func (b Bucket) validate() error {
	var empty []string
	for _, input := range []struct{ name, value string }{
		{"bucket_name", b.BucketName},
		{"region", b.Region},
		{"prefix", b.Prefix},
		{"aws_access_key_id", b.AccessKeyID.Reveal()},
		{"aws_secret_access_key", b.SecretAccessKey.Reveal()},
	} {
		if strings.TrimSpace(input.value) == "" {
			empty = append(empty, input.name)
		}
	}
	if len(empty) > 0 {
		return destinations.ConfigErrorf("The following inputs are empty: ['%s']", strings.Join(empty, "', '"))
	}
	if b.LegacyExtension {
		return destinations.ConfigErrorf("'legacy_parquet_extension' cannot be true for a new batch export")
	}
	return b.Config.Validate()
}

func (e Encryption) validate() error {
	if e.KMSKey != nil && (e.Method == nil || *e.Method != "aws:kms") {
		return destinations.ConfigErrorf("'kms_key_id' is only supported when 'encryption' is 'aws:kms'")
	}
	return nil
}

// checkEndpoint wants the URL of a host outside of our network.
func (s Server) checkEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return destinations.ConfigErrorf("'endpoint_url' must be a URL that starts with http:// or https://, without credentials and query")
	}
	if s.Guard == nil {
		return nil
	}
	// Guard has its own limit of time.
	if err := s.Guard.Check(context.Background(), u.Hostname()); err != nil {
		return destinations.ConfigErrorf("%s", err)
	}
	return nil
}
