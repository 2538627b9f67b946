package s3_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
)

const (
	ourRole   = "arn:aws:iam::111111111111:role/tranche"
	theirRole = "arn:aws:iam::222222222222:role/exports"
)

// An sts stands in for AWS STS: it knows two roles, and gives sessions of the store that may do what the policy says.
type sts struct {
	*testing.T
	*httptest.Server

	mu       sync.Mutex
	open     bool   // the customer's role lets anybody in
	refuses  int    // how often the customer's role refuses, although the external id is right
	external string // the id that it demands
	calls    []call
}

// A call is a request to assume a role.
type call struct {
	role, external, session, policy, key string
}

func newSTS(t *testing.T) *sts {
	t.Helper()
	s := &sts{T: t, external: "tranche-project-1"}
	s.Server = httptest.NewServer(http.HandlerFunc(s.assume))
	t.Cleanup(s.Close)
	return s
}

func (s *sts) assume(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	c := call{r.PostFormValue("RoleArn"), r.PostFormValue("ExternalId"), r.PostFormValue("RoleSessionName"), r.PostFormValue("Policy"), key}
	s.calls = append(s.calls, c)
	session := aws.Credentials{AccessKeyID: "OURS", SecretAccessKey: "s", SessionToken: "t"}
	if c.role == theirRole {
		refused := c.external != s.external && !s.open
		if !refused && s.refuses > 0 {
			s.refuses, refused = s.refuses-1, true
		}
		if refused {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>`)
			return
		}
		session = server.Session(s.T, c.policy) //nolint:contextcheck // it has the test's
	}
	type result struct {
		XMLName     xml.Name `xml:"AssumeRoleResponse"`
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      string
		} `xml:"AssumeRoleResult>Credentials"`
	}
	var answer result
	answer.Credentials.AccessKeyID, answer.Credentials.SecretAccessKey = session.AccessKeyID, session.SecretAccessKey
	answer.Credentials.SessionToken, answer.Credentials.Expiration = session.SessionToken, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	if err := xml.NewEncoder(w).Encode(answer); err != nil {
		s.Error(err)
	}
}

// newRoleScene is an export that assumes the customer's role.
func newRoleScene(t *testing.T, sts *sts, ours string) *scene {
	t.Helper()
	b := server.Bucket(t)
	config := with(settings(b), map[string]any{"aws_role_arn": theirRole, "prefix": "exports/{year}", "aws_access_key_id": nil, "aws_secret_access_key": nil})
	return newScene(t, b, config,
		s3.Server{Credentials: credentials.NewStaticCredentialsProvider("BASE", "s", ""), Role: ours},
		s3.Fake{StoreURL: b.Endpoint, STSURL: sts.URL})
}

func TestARoleIsAssumedInTwoHopsForItsPrefixOnly(t *testing.T) {
	t.Parallel()
	sts := newSTS(t)
	s := newRoleScene(t, sts, ourRole)
	d := s.open()
	require.NoError(t, check(t, d, "Ensure we can assume provided AWS role"))
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	_, err = s.commit(d, receipt)
	require.NoError(t, err)
	s.sees("exports/2026/"+strings.TrimPrefix(base, "exports/")+".jsonl", "exports/2026/"+strings.TrimPrefix(base, "exports/")+"_manifest.json")

	sts.mu.Lock()
	defer sts.mu.Unlock()
	require.Len(t, sts.calls, 6, "three for the test, three for the export; the session is kept")
	ours, probe, theirs := sts.calls[3], sts.calls[4], sts.calls[5]
	require.Equal(t, call{role: ourRole, session: "tranche-batch-exports-" + s.run.ExportID.String(), key: "BASE", policy: ours.policy}, ours)
	require.JSONEq(t, `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["`+theirRole+`"]}]}`, ours.policy)
	require.Equal(t, theirRole, probe.role)
	require.NotEqual(t, "tranche-project-1", probe.external)
	require.Equal(t, "OURS", theirs.key)
	require.Equal(t, "tranche-project-1", theirs.external)
	require.JSONEq(t, `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject", "s3:DeleteObject"], "Resource": ["arn:aws:s3:::`+s.bucket.Name+`/exports/*"]},
		{"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::`+s.bucket.Name+`"]}]}`, theirs.policy)

	session := server.Session(t, theirs.policy)
	elsewhere := awss3.New(s.bucket.Client.Options(), func(o *awss3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken)
	})
	_, err = elsewhere.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &s.bucket.Name, Key: aws.String("other/x"), Body: strings.NewReader("x")})
	require.ErrorContains(t, err, "AccessDenied")
}

func TestARoleThatLetsAnybodyInIsRefused(t *testing.T) {
	t.Parallel()
	sts := newSTS(t)
	sts.open = true
	s := newRoleScene(t, sts, "")
	d := s.open()
	const want = `the role can be assumed without its external id: its trust policy must demand the external id "tranche-project-1"`
	err := check(t, d, "Ensure we can assume provided AWS role")
	require.Equal(t, want, batch.MessageOf(err))
	_, err = s.stage(d, 1, 1)
	require.Equal(t, want, batch.MessageOf(err))
	require.Equal(t, batch.CodeCredentials, batch.CodeOf(err))
	s.sees()
}

func TestARoleThatWasJustMadeIsWaitedFor(t *testing.T) {
	t.Parallel()
	sts := newSTS(t)
	sts.refuses = 3
	s := newRoleScene(t, sts, "")
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	_, err = s.commit(d, receipt)
	require.NoError(t, err)
}

func TestARoleThatDoesNotTrustUsSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	sts := newSTS(t)
	sts.external = "of another project"
	s := newRoleScene(t, sts, "")
	d := s.open()
	for _, err := range []error{check(t, d, "Ensure we can assume provided AWS role"), check(t, d, "Check that files can be written, read and deleted")} {
		require.Equal(t, batch.CodePermission, batch.CodeOf(err))
		require.Contains(t, batch.MessageOf(err), `must trust this server's identity, with the external id "tranche-project-1"`)
	}
	_, err := s.plugin.Open(t.Context(), s.config)
	require.Equal(t, batch.CodeInternal, batch.CodeOf(err), "a role is assumed for somebody")
}

// check runs the step of the connection test.
func check(t *testing.T, d destinations.Destination, name string) error {
	t.Helper()
	for _, c := range d.Checks() {
		if c.Name == name {
			return c.Run(t.Context())
		}
	}
	require.Fail(t, "there is no such step", name)
	return nil
}
