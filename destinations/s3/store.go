package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"hash"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"tranche/destinations/objects/uploads"
)

// appID names us in the store's access logs.
const appID = "tranche"

// The metadata of our objects.
const (
	runTag        = "tranche-run"
	generationTag = "tranche-generation"
	exportTag     = "tranche-export"
)

// nvme is the polynomial of CRC64NVME.
var nvme = crc64.MakeTable(0x9a6c_9329_ac4b_c9b5)

// damaged are the answers to a request that did not arrive as it was sent.
var damaged = []string{"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}

// A store is one bucket. It is an uploads.Bucket.
type store struct {
	client *s3.Client
	http   *http.Client
	bucket string
	region string
	// aws says that it is Amazon's own, which knows checksums of whole objects and conditional deletes.
	aws        bool
	encryption Encryption
}

func (s Server) newStore(p place, credentials aws.CredentialsProvider, web *http.Client, patience patience) *store {
	options := s3.Options{
		Region: p.Region, Credentials: credentials, HTTPClient: web, AppID: appID,
		UsePathStyle:                 p.endpoint != "" && !p.virtual,
		ContinueHeaderThresholdBytes: expectFrom,
		// Every part is signed with its SHA-256, so that any store refuses what was damaged. More, some refuse.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Retryer:                    retry.AddWithErrorCodes(patience.retryer(), damaged...),
	}
	if endpoint := s.endpointOf(p); endpoint != "" {
		options.BaseEndpoint = &endpoint
		options.UsePathStyle = options.UsePathStyle || p.endpoint == ""
	}
	return &store{client: s3.New(options), http: web, bucket: p.BucketName, region: p.Region, aws: p.endpoint == "", encryption: p.Encryption}
}

// Begin is the uploads.Bucket's.
func (s *store) Begin(ctx context.Context, key string, tags uploads.Tags) (string, error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &key, Metadata: metadataOf(tags), SSEKMSKeyId: s.encryption.KMSKey}
	if s.encryption.Method != nil {
		in.ServerSideEncryption = types.ServerSideEncryption(*s.encryption.Method)
	}
	if s.aws {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	}
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", s.classify(err)
	}
	return aws.ToString(out.UploadId), nil
}

// Send is the uploads.Bucket's.
func (s *store) Send(ctx context.Context, u uploads.Upload, number int, body []byte) (string, error) {
	in := &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID, PartNumber: aws.Int32(int32(number)),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}
	if s.aws {
		sum := crc64.New(nvme)
		sum.Write(body)
		in.ChecksumCRC64NVME = aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	}
	out, err := s.client.UploadPart(ctx, in)
	if err != nil {
		return "", s.classify(err)
	}
	if s.aws {
		return aws.ToString(out.ETag) + tagSeparator + *in.ChecksumCRC64NVME, nil
	}
	return aws.ToString(out.ETag), nil
}

// tagSeparator stands between the ETag of a part and its checksum.
const tagSeparator = " "

// Complete is the uploads.Bucket's.
func (s *store) Complete(ctx context.Context, u uploads.Upload, tags []string, sum []byte) error {
	parts := make([]types.CompletedPart, len(tags))
	for i, tag := range tags {
		etag, sum, summed := strings.Cut(tag, tagSeparator)
		parts[i] = types.CompletedPart{ETag: &etag, PartNumber: aws.Int32(int32(i + 1))}
		if summed {
			parts[i].ChecksumCRC64NVME = &sum
		}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	if s.aws && sum != nil {
		in.ChecksumType, in.ChecksumCRC64NVME = types.ChecksumTypeFullObject, aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	_, err := s.client.CompleteMultipartUpload(ctx, in)
	return s.classify(err)
}

// Abort is the uploads.Bucket's.
func (s *store) Abort(ctx context.Context, u uploads.Upload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &u.Key, UploadId: &u.ID})
	if err = s.classify(err); errors.Is(err, uploads.ErrNoUpload) {
		return nil
	}
	return err
}

// Stat is the uploads.Bucket's.
func (s *store) Stat(ctx context.Context, key string) (uploads.Object, error) {
	in := &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key}
	if s.aws {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return uploads.Object{}, s.classify(err)
	}
	o := uploads.Object{Bytes: aws.ToInt64(out.ContentLength), Version: aws.ToString(out.ETag), Tags: tagsOf(out.Metadata)}
	if out.ChecksumType == types.ChecksumTypeFullObject && out.ChecksumCRC64NVME != nil {
		o.Sum, _ = base64.StdEncoding.DecodeString(*out.ChecksumCRC64NVME) // one that cannot be read is one that we do not know
	}
	return o, nil
}

// Read is the uploads.Bucket's.
func (s *store) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, s.classify(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit+1)) // one byte more is another file
	return body, s.classify(err)
}

// Remove is the uploads.Bucket's.
func (s *store) Remove(ctx context.Context, key, version string) error {
	in := &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key}
	if s.aws && version != "" {
		in.IfMatch = &version
	}
	_, err := s.client.DeleteObject(ctx, in)
	if err = s.classify(err); errors.Is(err, uploads.ErrNoObject) {
		return nil
	}
	return err
}

// Reach is the uploads.Bucket's.
func (s *store) Reach(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
	return s.classifyBucket(err)
}

// Sum is the uploads.Bucket's.
func (s *store) Sum() hash.Hash {
	if !s.aws {
		return nil
	}
	return crc64.New(nvme)
}

// Close is the uploads.Bucket's.
func (s *store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func metadataOf(t uploads.Tags) map[string]string {
	if t == (uploads.Tags{}) {
		return nil
	}
	return map[string]string{runTag: t.Run.String(), generationTag: strconv.Itoa(t.Generation), exportTag: t.Export.String()}
}

// tagsOf reads metadata. What somebody else wrote has none of ours.
func tagsOf(metadata map[string]string) uploads.Tags {
	run, err := uuid.Parse(metadata[runTag])
	if err != nil {
		return uploads.Tags{}
	}
	t := uploads.Tags{Run: run}
	t.Generation, _ = strconv.Atoi(metadata[generationTag]) // 0 is nobody's
	t.Export, _ = uuid.Parse(metadata[exportTag])
	return t
}
