// Package s3 is the destinations that keep objects behind the S3 API: AwsS3, S3Compatible, and S3, which is both.
package s3

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"tranche/destinations"
	"tranche/destinations/objects"
	"tranche/destinations/objects/uploads"
	"tranche/internal/secret"
)

// A Bucket is the settings that all have in common.
type Bucket struct {
	objects.Config
	BucketName      string         `json:"bucket_name" required:"true" description:"The bucket that files go to. It must exist."`
	Region          string         `json:"region" required:"true" description:"The region of the bucket, such as us-east-1."`
	Prefix          string         `json:"prefix" required:"true" description:"What keys start with: a template with the variables {year}, {month}, {day}, {hour}, {minute}, {second}, {data_interval_start}, {data_interval_end} and {table}."`
	AccessKeyID     *secret.String `json:"aws_access_key_id" secret:"true" description:"The id of the access key."`
	SecretAccessKey *secret.String `json:"aws_secret_access_key" secret:"true" description:"The secret of the access key."`
	LegacyExtension bool           `json:"legacy_parquet_extension" description:"Whether names of compressed Parquet files end in the codec, as old exports have it; new ones cannot."`
}

// Encryption says how AWS encrypts objects at rest.
type Encryption struct {
	Method *string `json:"encryption" enum:"AES256,aws:kms" description:"How objects are encrypted at rest; null = as the bucket says."`
	KMSKey *string `json:"kms_key_id" description:"The key for aws:kms; null = the account's own."`
}

// Role is who we are to AWS instead of the holder of an access key.
type Role struct {
	ARN *string `json:"aws_role_arn" description:"The role to assume, instead of an access key. It must trust this server's identity, and demand the external id that the connection test names."`
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
	Role
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
	Role
	EndpointURL      *string `json:"endpoint_url" description:"The address of the object store; null = that of AWS."`
	VirtualAddresses bool    `json:"use_virtual_style_addressing" description:"Put the bucket's name before the host, not into the path."`
}

// A place is the settings of any of them.
type place struct {
	Bucket
	Encryption
	role     string // empty = none
	endpoint string // empty = that of AWS
	virtual  bool
}

func (c AWSConfig) place() place {
	return place{Bucket: c.Bucket, Encryption: c.Encryption, role: valueOf(c.ARN)}
}

func (c CompatibleConfig) place() place {
	return place{Bucket: c.Bucket, endpoint: c.URL, virtual: c.VirtualAddresses}
}

func (c Config) place() place {
	return place{
		Bucket: c.Bucket, Encryption: c.Encryption, role: valueOf(c.ARN), endpoint: valueOf(c.EndpointURL), virtual: c.VirtualAddresses,
	}
}

func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// files are the settings of names and formats: the outer prefix is required, and hides the one in there.
func (b Bucket) files() objects.Config {
	c := b.Config
	c.Prefix = b.Prefix
	return c
}

// keys names the objects of a run.
func (b Bucket) keys(run destinations.Run) objects.Keys {
	keys := objects.KeysOf(run, b.files())
	if b.LegacyExtension {
		return keys.Legacy(b.files())
	}
	return keys
}

// maxFileSizeMB is the largest size at which a file may be rolled.
const maxFileSizeMB = uploads.MaxFileBytes >> 20

// maxPrefix leaves room in a key for the name of a file. Keys have 1,024 bytes; variables grow to 32 at most.
const maxPrefix = 512

var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$|^[A-Za-z0-9]{1,2}$`)
	regionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	roleName   = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov|aws-iso|aws-iso-b):iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
)

// validate checks what tags cannot say.
func (p place) validate(s Server) error {
	if err := p.checkEmpty(); err != nil {
		return err
	}
	switch {
	case !bucketName.MatchString(p.BucketName):
		return destinations.ConfigErrorf("'bucket_name' is not a name that a bucket can have")
	case !regionName.MatchString(p.Region):
		return destinations.ConfigErrorf("'region' is not a name that a region can have")
	case p.MaxFileSize != nil && *p.MaxFileSize > maxFileSizeMB:
		return destinations.ConfigErrorf("'max_file_size_mb' must be between 1 and %d", int64(maxFileSizeMB))
	case p.KMSKey != nil && valueOf(p.Method) != kms:
		return destinations.ConfigErrorf("'kms_key_id' is only supported when 'encryption' is 'aws:kms'")
	}
	if err := checkPrefix(p.Prefix); err != nil {
		return err
	}
	if err := p.checkCredentials(s); err != nil {
		return err
	}
	if p.endpoint != "" {
		if err := s.checkEndpoint(p.endpoint); err != nil {
			return err
		}
	}
	return p.files().Validate()
}

// kms is the encryption with a key of the customer's.
const kms = "aws:kms"

func (p place) checkEmpty() error {
	var empty []string
	inputs := []struct{ name, value string }{{"bucket_name", p.BucketName}, {"region", p.Region}, {"prefix", p.Prefix}}
	if p.AccessKeyID != nil {
		inputs = append(inputs, struct{ name, value string }{"aws_access_key_id", p.AccessKeyID.Reveal()})
	}
	if p.SecretAccessKey != nil {
		inputs = append(inputs, struct{ name, value string }{"aws_secret_access_key", p.SecretAccessKey.Reveal()})
	}
	for _, input := range inputs {
		if strings.TrimSpace(input.value) == "" {
			empty = append(empty, input.name)
		}
	}
	if len(empty) > 0 {
		return destinations.ConfigErrorf("The following inputs are empty: ['%s']", strings.Join(empty, "', '"))
	}
	return nil
}

func checkPrefix(prefix string) error {
	switch {
	case len(prefix) > maxPrefix:
		return destinations.ConfigErrorf("'prefix' is longer than %d bytes", maxPrefix)
	case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return destinations.ConfigErrorf("'prefix' has a character that names of files cannot have")
	case slices.ContainsFunc(strings.Split(prefix, "/"), func(part string) bool { return part == "." || part == ".." }):
		return destinations.ConfigErrorf("'prefix' may not have a part that is '.' or '..'")
	}
	return nil
}

// checkCredentials wants an access key, or a role, or neither if the server lends its own identity.
func (p place) checkCredentials(s Server) error {
	keys := p.AccessKeyID != nil || p.SecretAccessKey != nil
	switch {
	case p.role != "" && keys:
		return destinations.ConfigErrorf("Send either 'aws_role_arn' or an access key, and null for the other")
	case p.role != "" && p.endpoint != "":
		return destinations.ConfigErrorf("'aws_role_arn' is only supported for the object store of AWS")
	case p.role != "" && !roleName.MatchString(p.role):
		return destinations.ConfigErrorf("'aws_role_arn' must be the ARN of a role, such as arn:aws:iam::123456789012:role/exports")
	case p.role != "" && s.Credentials == nil:
		return destinations.ConfigErrorf("This server has no identity of its own with which it could assume a role. Send an access key")
	case p.role != "" || !keys && s.Lend && s.Credentials != nil:
		return nil
	case p.AccessKeyID == nil:
		return destinations.ConfigErrorf("Configuration missing required field: 'aws_access_key_id'")
	case p.SecretAccessKey == nil:
		return destinations.ConfigErrorf("Configuration missing required field: 'aws_secret_access_key'")
	}
	return nil
}

// checkEndpoint wants the URL of a host outside of our network.
func (s Server) checkEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
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

// legacyExtension is the name of the setting.
const legacyExtension = "legacy_parquet_extension"

// settleExtension keeps the names of files: only exports from before the setting have the codec in them, and one that
// has given them up does not take them back.
func settleExtension(sent, stored, merged map[string]any) error {
	wanted, explicit := sent[legacyExtension]
	isTrue := wanted == true || wanted == "true"
	if stored == nil {
		if isTrue {
			return destinations.ConfigErrorf("'%s' cannot be true for a new batch export", legacyExtension)
		}
		return nil
	}
	was, known := stored[legacyExtension]
	switch {
	case known && was == false && isTrue:
		return destinations.ConfigErrorf("'%s' cannot become true again", legacyExtension)
	case !known && !explicit:
		merged[legacyExtension] = stored["file_format"] == "Parquet" && stored["compression"] != nil
	}
	return nil
}
