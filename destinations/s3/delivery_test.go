package s3_test

import (
	"bytes"
	"encoding/base64"
	"hash/crc64"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/internal/miniotest"
)

// A watchedReader looks at the bucket whenever a batch is read.
type watchedReader struct {
	array.RecordReader
	look func()
}

// Next looks, and then reads.
func (r *watchedReader) Next() bool {
	r.look()
	return r.RecordReader.Next()
}

func TestNothingIsListedBeforeTheCommit(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	s := newScene(t, b, with(settings(b), map[string]any{"endpoint_url": b.Endpoint, "max_file_size_mb": 3}), s3.Server{}, s3.Fake{})
	d := s.open()
	var looks int
	var mu sync.Mutex
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		looks++
		s.sees()
	}
	s.when(func(point string) {
		if !strings.HasPrefix(point, "publish") {
			look()
		}
	})
	receipt, err := d.Stage(t.Context(), destinations.Job{Run: s.run, Splits: 1, Attempt: 1, Journal: s.journal},
		&watchedReader{RecordReader: s.records(10), look: look})
	require.NoError(t, err)
	look()
	require.Greater(t, looks, 20)
	s.when(nil)
	_, err = s.commit(d, receipt)
	require.NoError(t, err)
	s.sees(base+"-0.jsonl", base+"-1.jsonl", base+"-2.jsonl", base+"-3.jsonl", base+"_manifest.json")
	s.sweeps(d)

	schema, err := jsonschema.NewCompiler().Compile("../../docs/manifest.schema.json")
	require.NoError(t, err)
	body, err := b.Read(t.Context(), base+"_manifest.json")
	require.NoError(t, err)
	manifest, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(manifest))
}

func TestAnObjectSaysWhoseItIsAndHasItsChecksum(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	s := newScene(t, b, with(settings(b), map[string]any{"encryption": "aws:kms", "kms_key_id": miniotest.Key}), s3.Server{}, s3.Fake{StoreURL: b.Endpoint})
	d := s.open()
	require.NoError(t, check(t, d, "Check that the KMS key may be used"))
	receipt, err := s.stage(d, 40, 1) // three parts
	require.NoError(t, err)
	published, err := s.commit(d, receipt)
	require.NoError(t, err)
	require.Empty(t, published.Warnings)
	body, err := b.Read(t.Context(), base+".jsonl")
	require.NoError(t, err)
	require.Len(t, body, int(published.Bytes))
	head, err := b.Client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &b.Name, Key: aws.String(base + ".jsonl"), ChecksumMode: types.ChecksumModeEnabled})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"tranche-run": s.run.ID.String(), "tranche-generation": "1", "tranche-export": s.run.ExportID.String()}, head.Metadata)
	require.Equal(t, types.ServerSideEncryptionAwsKms, head.ServerSideEncryption)
	require.Contains(t, aws.ToString(head.SSEKMSKeyId), miniotest.Key)
	sum := crc64.New(crc64.MakeTable(0x9a6c_9329_ac4b_c9b5))
	sum.Write(body)
	require.Equal(t, base64.StdEncoding.EncodeToString(sum.Sum(nil)), aws.ToString(head.ChecksumCRC64NVME))
	require.Equal(t, types.ChecksumTypeFullObject, head.ChecksumType)
}

func TestEncryptionAndAddressing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		over       map[string]any
		encryption types.ServerSideEncryption
		key        string // what it ends in
	}{
		"AES256":      {map[string]any{"encryption": "AES256"}, types.ServerSideEncryptionAes256, ".jsonl"},
		"KMS":         {map[string]any{"encryption": "aws:kms"}, types.ServerSideEncryptionAwsKms, ".jsonl"},
		"legacy name": {map[string]any{"file_format": "Parquet", "compression": "zstd", "legacy_parquet_extension": true}, "", ".parquet.zst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := server.Bucket(t)
			config := with(with(settings(b), map[string]any{"endpoint_url": b.Endpoint}), c.over)
			s := newScene(t, b, with(config, map[string]any{"legacy_parquet_extension": false}), s3.Server{}, s3.Fake{})
			s.config["legacy_parquet_extension"] = c.over["legacy_parquet_extension"] == true // as an old export has it
			d := s.open()
			receipt, err := s.stage(d, 1, 1)
			require.NoError(t, err)
			_, err = s.commit(d, receipt)
			require.NoError(t, err)
			s.sees(base+c.key, base+"_manifest.json")
			for _, key := range []string{base + c.key, base + "_manifest.json"} {
				head, err := b.Client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &b.Name, Key: &key})
				require.NoError(t, err)
				if c.encryption != "" {
					require.Equal(t, c.encryption, head.ServerSideEncryption)
				}
			}
		})
	}
}

func TestAnObjectThatIsNotWhatWasStagedFailsTheCommit(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	s := newScene(t, b, with(settings(b), map[string]any{"endpoint_url": b.Endpoint}), s3.Server{}, s3.Fake{})
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	receipt.Objects[0].Bytes++
	_, err = s.commit(d, receipt)
	require.Equal(t, batch.CodeVerification, batch.CodeOf(err))
	require.Regexp(t, `^the file ".*" has 1049\d+ bytes, 1049\d+ were written$`, batch.MessageOf(err))
	objects, err := b.Objects(t.Context())
	require.NoError(t, err)
	require.NotContains(t, objects, base+"_manifest.json", "no manifest vouches for it")
}

func TestAnExportThatMovesToAnotherBucketDeliversThere(t *testing.T) {
	t.Parallel()
	from, to := server.Bucket(t), server.Bucket(t)
	s := newScene(t, from, with(settings(from), map[string]any{"endpoint_url": from.Endpoint, "max_file_size_mb": 1}), s3.Server{}, s3.Fake{})
	old := s.open()
	receipt, err := s.stage(old, 3, 1)
	require.NoError(t, err)
	first, err := s.commit(old, receipt)
	require.NoError(t, err)
	s.run.ID = uuid.New()
	_, err = s.stage(old, 1, 1) // a run that is under way when the bucket is changed
	require.NoError(t, err)

	changed, err := s.plugin.Parse(map[string]any{"bucket_name": to.Name}, s.config)
	require.NoError(t, err)
	d, err := s.plugin.Open(t.Context(), changed)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	previous := &batch.Delivery{RunID: uuid.New(), Generation: 1, Manifest: first.Manifest, Objects: first.Objects}
	s.run.ID = uuid.New()
	moved := &journal{}
	receipt, err = d.Stage(t.Context(), destinations.Job{Run: s.run, Splits: 1, Attempt: 1, Journal: moved}, s.records(1))
	require.NoError(t, err)
	published, err := d.Commit(t.Context(), s.run, []destinations.Receipt{receipt}, previous)
	require.NoError(t, err)
	require.Empty(t, published.Warnings)
	there, err := to.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, there, len(published.Objects)+1)
	here, err := from.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, here, len(first.Objects)+1, "what was delivered before stays where it was")
	s.sweeps(old)
}
