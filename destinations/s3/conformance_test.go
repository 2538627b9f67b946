package s3_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/s3"
	"tranche/internal/miniotest"
)

var server miniotest.Server

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

//nolint:paralleltest // the suite watches the process's goroutines
func TestConformance(t *testing.T) {
	server.Bucket(t) // the server's own goroutines come first
	configs := map[string]map[string]any{
		"one JSONLines file": {},
		"numbered Parquet":   {"file_format": "Parquet", "compression": "zstd", "max_file_size_mb": 1, "prefix": "a/{year}/{table}"},
	}
	for name, config := range configs { //nolint:paralleltest // see above
		t.Run("S3Compatible: "+name, func(t *testing.T) {
			destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
				t.Helper()
				return compatible(t, config)
			})
		})
	}
	t.Run("S3", func(t *testing.T) { //nolint:paralleltest // see above
		destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
			t.Helper()
			b := server.Bucket(t)
			return fixture(t, b, s3.Plugin, with(settings(b), map[string]any{"endpoint_url": b.Endpoint, "compression": "gzip", "max_file_size_mb": 1}), s3.Fake{})
		})
	})
	t.Run("AwsS3, with its checksums and conditional deletes", func(t *testing.T) { //nolint:paralleltest // see above
		destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
			t.Helper()
			b := server.Bucket(t)
			return fixture(t, b, s3.AWS, with(settings(b), map[string]any{
				"file_format": "CSV", "max_file_size_mb": "1", "prefix": "/absolute/", "encryption": "aws:kms", "kms_key_id": miniotest.Key,
			}), s3.Fake{StoreURL: b.Endpoint})
		})
	})
}

// settings are valid for every kind that goes to the bucket.
func settings(b miniotest.Bucket) map[string]any {
	return map[string]any{
		"bucket_name": b.Name, "region": miniotest.Region, "prefix": "exports",
		"aws_access_key_id": b.AccessKeyID, "aws_secret_access_key": b.SecretAccessKey,
	}
}

func with(config, over map[string]any) map[string]any {
	merged := make(map[string]any)
	for _, c := range []map[string]any{config, over} {
		for key, value := range c {
			merged[key] = value
		}
	}
	return merged
}

// compatible is a fresh bucket behind S3Compatible.
func compatible(t *testing.T, config map[string]any) destinationtest.Fixture {
	t.Helper()
	b := server.Bucket(t)
	return fixture(t, b, s3.Compatible, with(with(settings(b), map[string]any{"endpoint_url": b.Endpoint}), config), s3.Fake{})
}

// fixture is a destination in the bucket.
func fixture(
	t *testing.T, b miniotest.Bucket, kind func(s3.Server) destinations.Plugin, config map[string]any, fake s3.Fake,
) destinationtest.Fixture {
	t.Helper()
	begun := &keys{}
	plugin := func(at destinationtest.At) destinations.Plugin {
		f := fake
		f.At = begun.watch(at)
		return kind(s3.Server{}.With(t, f))
	}
	return destinationtest.Fixture{
		Plugin: plugin(nil), Config: config,
		Rows: func(ctx context.Context) ([]destinationtest.Row, error) {
			objects, err := b.Objects(ctx)
			if err != nil {
				return nil, err
			}
			return destinationtest.ReadObjects(objects)
		},
		Staged: func(ctx context.Context) ([]string, error) { return b.Uploads(ctx, begun.list()...) },
		OpenAt: func(ctx context.Context, config map[string]any, at destinationtest.At) (destinations.Destination, error) {
			return plugin(at).Open(ctx, config)
		},
	}
}

// keys are those that uploads were begun of: MinIO lists the uploads of one key only.
type keys struct {
	mu  sync.Mutex
	all map[string]bool
}

func (k *keys) watch(at destinationtest.At) destinationtest.At {
	return func(ctx context.Context, point string) error {
		if key, ok := strings.CutPrefix(point, "begin "); ok {
			k.mu.Lock()
			if k.all == nil {
				k.all = make(map[string]bool)
			}
			k.all[key] = true
			k.mu.Unlock()
		}
		if at == nil {
			return nil
		}
		return at(ctx, point)
	}
}

func (k *keys) list() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.all))
}

func open(t *testing.T, plugin destinations.Plugin, config map[string]any) destinations.Destination {
	t.Helper()
	parsed, err := plugin.Parse(config, nil)
	require.NoError(t, err)
	d, err := plugin.Open(t.Context(), parsed)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}
