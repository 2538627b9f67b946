// Package miniotest gives tests a real object store of their own: MinIO.
package miniotest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"tranche/internal/testprocess"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
	callTimeout  = 30 * time.Second
)

// What every Server has.
const (
	Region = "us-east-1"
	// Key is the id of the only key for aws:kms.
	Key       = "tranche-test-key"
	accessKey = "AKIATRANCHEROOT"
)

// errNoServer says that there is no MinIO on this machine.
var errNoServer = errors.New(`no MinIO server: run "make test-servers", or have minio in PATH`)

// A Server is one MinIO in a temporary folder, on a free port. The zero value is ready: it starts with the first Bucket.
// Make one per test package and stop it in TestMain:
//
//	var server miniotest.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Run(m)) }
type Server struct {
	once sync.Once
	err  error

	dir    string
	port   int
	secret string
	stop   func()
	number atomic.Int64
}

// Run runs the tests of a package and stops the server after them. It returns the exit code.
func (s *Server) Run(m *testing.M) int {
	defer s.Stop()
	return m.Run()
}

// Bucket makes a bucket. Without MinIO the test is skipped, or fails when the environment has CI=true.
func (s *Server) Bucket(tb testing.TB) Bucket {
	tb.Helper()
	s.once.Do(func() { s.err = s.start() })
	if errors.Is(s.err, errNoServer) && os.Getenv("CI") != "true" {
		tb.Skipf("SKIPPED, NOT TESTED ON AN OBJECT STORE: %v", s.err)
	}
	if s.err != nil {
		tb.Fatalf("start MinIO: %v", s.err)
	}
	b := Bucket{
		Name: fmt.Sprintf("test-%d", s.number.Add(1)), Endpoint: s.endpoint(),
		AccessKeyID: accessKey, SecretAccessKey: s.secret, Client: s.client(),
	}
	ctx, cancel := context.WithTimeout(tb.Context(), callTimeout)
	defer cancel()
	if _, err := b.Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.Name}); err != nil {
		tb.Fatalf("create bucket: %v", err)
	}
	return b
}

// Session returns temporary credentials that may do what the policy, JSON as IAM has it, says, and nothing else.
func (s *Server) Session(tb testing.TB, policy string) aws.Credentials {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), callTimeout)
	defer cancel()
	out, err := sts.New(sts.Options{
		Region: Region, BaseEndpoint: aws.String(s.endpoint()), Credentials: s.credentials(),
	}).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/test"), RoleSessionName: aws.String("test"), Policy: &policy,
	})
	if err != nil {
		tb.Fatalf("assume a role: %v", err)
	}
	c := out.Credentials
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

// Stop ends the server and removes its folder. It does nothing when no test needed the server.
func (s *Server) Stop() {
	s.once.Do(func() { s.err = errors.New("the server is stopped") })
	if s.stop != nil {
		s.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a temporary folder: what stays behind harms nobody
	}
}

func (s *Server) endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

func (s *Server) credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(accessKey, s.secret, "")
}

func (s *Server) client() *s3.Client {
	return s3.New(s3.Options{
		Region: Region, BaseEndpoint: aws.String(s.endpoint()), UsePathStyle: true, Credentials: s.credentials(),
		// Tests look for goroutines that are left: idle connections have some.
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

// Binary finds the server's program: in PATH, or where the Makefile builds it.
func Binary() (string, error) {
	if found, err := exec.LookPath("minio"); err == nil {
		return found, nil
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		found, globErr := filepath.Glob(filepath.Join(dir, ".cache", "tools", "minio-*", "minio"))
		if globErr == nil && len(found) > 0 {
			return slices.Max(found), nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "", errNoServer
}

// start starts the server and waits until it answers.
func (s *Server) start() error {
	binary, err := Binary()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "miniotest-"); err != nil {
		return err
	}
	if s.port, err = testprocess.FreePort(); err != nil {
		return err
	}
	s.secret = rand.Text()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	var output strings.Builder
	minio := exec.Command(binary, "server", filepath.Join(s.dir, "data"), "--quiet", "--anonymous",
		"--address", fmt.Sprintf("127.0.0.1:%d", s.port), "--certs-dir", filepath.Join(s.dir, "certs"))
	minio.Env = []string{
		"HOME=" + s.dir, "MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + s.secret,
		"MINIO_KMS_SECRET_KEY=" + Key + ":" + base64.StdEncoding.EncodeToString(key),
		"MINIO_SITE_REGION=" + Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off", "GOMAXPROCS=2",
	}
	minio.Stdout, minio.Stderr = &output, &output
	process, err := testprocess.Start(minio)
	if err != nil {
		return err
	}
	s.stop = func() { process.Stop(syscall.SIGTERM, stopTimeout) }
	if err := process.Await(s.ready, startTimeout); err != nil {
		s.stop()
		return fmt.Errorf("%w: %s", err, output.String())
	}
	return nil
}

func (s *Server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := s.client().ListBuckets(ctx, &s3.ListBucketsInput{}, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	return err == nil
}
