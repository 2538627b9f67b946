package miniotest

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A Bucket is an empty bucket of a test.
type Bucket struct {
	Name            string
	Endpoint        string // URL of the store
	AccessKeyID     string
	SecretAccessKey string
	// Client may do everything.
	Client *s3.Client
}

// Objects returns every object that a reader sees, by key.
func (b Bucket) Objects(ctx context.Context) (map[string][]byte, error) {
	objects := make(map[string][]byte)
	pages := s3.NewListObjectsV2Paginator(b.Client, &s3.ListObjectsV2Input{Bucket: &b.Name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			if objects[*o.Key], err = b.Read(ctx, *o.Key); err != nil {
				return nil, err
			}
		}
	}
	return objects, nil
}

// Read returns an object.
func (b Bucket) Read(ctx context.Context, key string) ([]byte, error) {
	out, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// Uploads lists the uploads of the keys that were neither completed nor aborted. MinIO lists those of one key at a time.
func (b Bucket) Uploads(ctx context.Context, keys ...string) ([]string, error) {
	var uploads []string
	for _, key := range keys {
		out, err := b.Client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &b.Name, Prefix: &key})
		if err != nil {
			return nil, err
		}
		for _, u := range out.Uploads {
			uploads = append(uploads, aws.ToString(u.Key)+" "+aws.ToString(u.UploadId))
		}
	}
	return uploads, nil
}
