// Package miniotest gives tests a real object store of their own: MinIO.
package miniotest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
	callTimeout  = 30 * time.Second
	pollEvery    = 20 * time.Millisecond
)

// What every Server has.
const (
	Region = "us-east-1"
	// Key is the id of the only key for aws:kms.
	Key       = "tranche-test-key"
	accessKey = "tranche-test"
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
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if _, err := b.Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.Name}); err != nil {
		tb.Fatalf("create bucket: %v", err)
	}
	return b
}

// Session returns temporary credentials that may do what the policy, JSON as IAM has it, says, and nothing else.
func (s *Server) Session(tb testing.TB, policy string) aws.Credentials {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
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
	if s.port, err = freePort(); err != nil {
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
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off", "GOMAXPROCS=2",
	}
	minio.Stdout, minio.Stderr = &output, &output
	minio.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, err := launch(minio)
	if err != nil {
		return err
	}
	s.stop = func() { stopProcess(minio.Process, ended) }
	if err := s.wait(ended); err != nil {
		s.stop()
		return fmt.Errorf("%w: %s", err, output.String())
	}
	return nil
}

// wait returns when the server answers, has ended, or takes too long.
func (s *Server) wait(ended <-chan struct{}) error {
	deadline := time.After(startTimeout)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if s.ready() {
			return nil
		}
		select {
		case <-ended:
			return errors.New("the server ended")
		case <-deadline:
			return errors.New("the server does not answer")
		case <-tick.C:
		}
	}
}

func (s *Server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := s.client().ListBuckets(ctx, &s3.ListBucketsInput{}, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	return err == nil
}

// launch starts the process on an operating system thread that lives as long as the process: the kernel takes the death
// of the starting thread for the death of the parent.
func launch(c *exec.Cmd) (ended <-chan struct{}, err error) {
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // how a stopped server exits matters to nobody
		}
	}()
	return done, <-started
}

// stopProcess asks for an end, and kills what does not follow.
func stopProcess(p *os.Process, ended <-chan struct{}) {
	_ = p.Signal(syscall.SIGTERM) // fails when it has ended, which is what we want
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = p.Kill()
		<-ended
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
