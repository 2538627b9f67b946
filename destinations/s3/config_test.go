package s3_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/internal/safenet"
)

// identity is the server's own, which nobody asks for anything here.
var identity = aws.AnonymousCredentials{}

func valid() map[string]any {
	return map[string]any{
		"bucket_name": "b", "region": "us-east-1", "prefix": "p", "aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cr3t",
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	noKeys := map[string]any{"aws_access_key_id": nil, "aws_secret_access_key": nil}
	role := with(noKeys, map[string]any{"aws_role_arn": theirRole})
	for name, c := range map[string]struct {
		server s3.Server
		over   map[string]any
		err    string // empty = it is fine
	}{
		"keys":                       {},
		"one key only":               {over: map[string]any{"aws_secret_access_key": nil}, err: "Configuration missing required field: 'aws_secret_access_key'"},
		"no keys":                    {over: noKeys, err: "Configuration missing required field: 'aws_access_key_id'"},
		"no keys, an identity":       {server: s3.Server{Credentials: identity}, over: noKeys, err: "Configuration missing required field: 'aws_access_key_id'"},
		"no keys, an identity lent":  {server: s3.Server{Credentials: identity, Lend: true}, over: noKeys},
		"empty keys":                 {over: map[string]any{"aws_access_key_id": " ", "aws_secret_access_key": ""}, err: "The following inputs are empty: ['aws_access_key_id', 'aws_secret_access_key']"},
		"a role":                     {server: s3.Server{Credentials: identity}, over: role},
		"a role without an identity": {over: role, err: "This server has no identity of its own with which it could assume a role. Send an access key"},
		"a role and a key":           {server: s3.Server{Credentials: identity}, over: map[string]any{"aws_role_arn": theirRole}, err: "Send either 'aws_role_arn' or an access key, and null for the other"},
		"no role's name":             {server: s3.Server{Credentials: identity}, over: with(role, map[string]any{"aws_role_arn": "arn:aws:iam::1:user/x"}), err: "'aws_role_arn' must be the ARN of a role, such as arn:aws:iam::123456789012:role/exports"},
		"a role elsewhere":           {server: s3.Server{Credentials: identity}, over: with(role, map[string]any{"endpoint_url": "https://93.184.216.34"}), err: "'aws_role_arn' is only supported for the object store of AWS"},
		"AES256":                     {over: map[string]any{"encryption": "AES256"}},
		"KMS":                        {over: map[string]any{"encryption": "aws:kms"}},
		"KMS with a key":             {over: map[string]any{"encryption": "aws:kms", "kms_key_id": "k"}},
		"a key without KMS":          {over: map[string]any{"encryption": "AES256", "kms_key_id": "k"}, err: "'kms_key_id' is only supported when 'encryption' is 'aws:kms'"},
		"another encryption":         {over: map[string]any{"encryption": "rot13"}, err: "Configuration field 'encryption' must be one of 'AES256', 'aws:kms'"},
		"a host in the bucket":       {over: map[string]any{"bucket_name": "evil.com/x"}, err: "'bucket_name' is not a name that a bucket can have"},
		"a host in the region":       {over: map[string]any{"region": "x.evil.com"}, err: "'region' is not a name that a region can have"},
		"a prefix that climbs":       {over: map[string]any{"prefix": "a/../b"}, err: "'prefix' may not have a part that is '.' or '..'"},
		"a long prefix":              {over: map[string]any{"prefix": strings.Repeat("x", 513)}, err: "'prefix' is longer than 512 bytes"},
		"a control character":        {over: map[string]any{"prefix": "a\x00b"}, err: "'prefix' has a character that names of files cannot have"},
		"files too large":            {over: map[string]any{"max_file_size_mb": 64001}, err: "'max_file_size_mb' must be between 1 and 64000"},
		"large files":                {over: map[string]any{"max_file_size_mb": 64000}},
		"an endpoint with a query":   {over: map[string]any{"endpoint_url": "https://x.example.com?a=b"}, err: "'endpoint_url' must be a URL that starts with http:// or https://, without credentials and query"},
		"an endpoint with a user":    {over: map[string]any{"endpoint_url": "https://u:p@x.example.com"}, err: "'endpoint_url' must be a URL that starts with http:// or https://, without credentials and query"},
		"an endpoint of files":       {over: map[string]any{"endpoint_url": "file:///etc"}, err: "'endpoint_url' must be a URL that starts with http:// or https://, without credentials and query"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s3.Plugin(c.server).Parse(with(valid(), c.over), nil)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.err)
			require.ErrorAs(t, err, new(*destinations.ConfigError))
		})
	}
}

func TestEndpointsInOurNetworkAreRefused(t *testing.T) {
	t.Parallel()
	guard := safenet.Guard{
		Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "store.example.com" {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			}
			return nil, errors.New("no such host")
		},
	}
	for endpoint, want := range map[string]string{
		"https://store.example.com": "", "https://STORE.example.com.:9000/path": "", "http://10.1.2.3:9000": "", "http://[::ffff:10.1.2.3]:9000": "",
		"http://127.0.0.1:9000": unreachable, "http://[::1]:9000": unreachable, "http://localhost:9000": unreachable, "http://169.254.169.254/": unreachable,
		"http://metadata.google.internal": unreachable, "http://[::ffff:127.0.0.1]": unreachable, "http://[::ffff:a9fe:a9fe]": unreachable,
		"http://10.2.0.1": unreachable, "http://nowhere.example.com": unreachable, "http://[fd00:ec2::254]": unreachable,
		"http://2130706433": misshapen, "http://0177.0.0.1": misshapen, "http://0x7f.0.0.1": misshapen, "http://0x7f000001": misshapen, "http://127.1": misshapen,
	} {
		_, err := s3.Compatible(s3.Server{Guard: guard}).Parse(with(valid(), map[string]any{"endpoint_url": endpoint}), nil)
		if want == "" {
			require.NoError(t, err, endpoint)
		} else {
			require.EqualError(t, err, want, endpoint)
		}
	}
}

const (
	unreachable = "Could not reach this host. Check that the hostname is correct and reachable from the internet."
	misshapen   = "Invalid host. Enter a hostname or IP address without credentials, scheme, or path."
)

func TestTheLegacyExtension(t *testing.T) {
	t.Parallel()
	p := s3.AWS(s3.Server{})
	const setting = "legacy_parquet_extension"
	parquet := map[string]any{"file_format": "Parquet", "compression": "zstd"}
	fresh, err := p.Parse(with(valid(), parquet), nil)
	require.NoError(t, err)
	require.Equal(t, false, fresh[setting])
	_, err = p.Parse(with(valid(), map[string]any{setting: true}), nil)
	require.EqualError(t, err, "'legacy_parquet_extension' cannot be true for a new batch export")
	_, err = p.Parse(map[string]any{setting: true}, fresh)
	require.EqualError(t, err, "'legacy_parquet_extension' cannot become true again")

	for name, c := range map[string]struct {
		stored, sent map[string]any
		want         bool
	}{
		"an old export keeps its names":                {parquet, map[string]any{"region": "eu-west-1"}, true},
		"also when it is changed to Parquet's default": {parquet, map[string]any{"compression": nil}, true},
		"an old export without compression":            {map[string]any{"file_format": "Parquet"}, nil, false},
		"an old export that becomes Parquet":           {map[string]any{"file_format": "JSONLines", "compression": "gzip"}, parquet, false},
		"an old export that gives them up":             {parquet, map[string]any{setting: false}, false},
	} {
		old := with(valid(), c.stored)
		changed, err := p.Parse(c.sent, old)
		require.NoError(t, err, name)
		require.Equal(t, c.want, changed[setting], name)
		again, err := p.Parse(map[string]any{"region": "eu-west-2"}, changed)
		require.NoError(t, err, name)
		require.Equal(t, c.want, again[setting], name)
	}
}
