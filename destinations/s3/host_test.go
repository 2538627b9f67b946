package s3

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheHostIsWhatCouldBeOverrun(t *testing.T) {
	t.Parallel()
	settings := map[string]any{
		"bucket_name": "b", "region": "us-east-1", "prefix": "p", "aws_access_key_id": "a", "aws_secret_access_key": "s",
	}
	require.Empty(t, AWS(Server{}).Host(settings), "Amazon cannot be overrun")
	settings["endpoint_url"] = "https://storage.example.com:9000"
	require.Equal(t, "storage.example.com:9000", Compatible(Server{}).Host(settings))
}
