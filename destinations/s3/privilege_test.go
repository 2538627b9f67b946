package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/internal/doctest"
	"tranche/internal/miniotest"
)

// newHumbleScene is an export whose credentials may do some actions below the prefix and nothing else. It also shows
// that exports may use the server's own credentials where the server lends them.
func newHumbleScene(t *testing.T, actions ...string) *scene {
	t.Helper()
	b := server.Bucket(t)
	return newSceneUnder(t, b, fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["%s"], "Resource": ["arn:aws:s3:::%s/exports/*"]}]}`,
		strings.Join(actions, `", "`), b.Name))
}

// newSceneUnder is an export whose credentials may do what a policy says.
func newSceneUnder(t *testing.T, b miniotest.Bucket, policy string) *scene {
	t.Helper()
	session := server.Session(t, policy)
	config := with(settings(b), map[string]any{"endpoint_url": b.Endpoint, "aws_access_key_id": nil, "aws_secret_access_key": nil})
	return newScene(t, b, config, s3.Server{
		Lend:        true,
		Credentials: credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken),
	}, s3.Fake{})
}

// TestThePolicyOfTheDocumentationSuffices does with the very policy of the page all that an export does.
func TestThePolicyOfTheDocumentationSuffices(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	const place = "my-bucket/my/prefix"
	policy := doctest.Read(t, "docs/destinations/s3.md").Block(t, "policy").Text
	require.Equal(t, 1, strings.Count(policy, place))
	s := newSceneUnder(t, b, strings.ReplaceAll(policy, place, b.Name+"/exports"))
	d := s.open()
	for _, c := range d.Checks() {
		err := c.Run(t.Context())
		if err != nil {
			require.ErrorAs(t, err, new(*destinations.SkippedError), c.Name)
			require.Contains(t, err.Error(), "No KMS encryption is configured")
		}
	}
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	first, err := s.commit(d, receipt)
	require.NoError(t, err)
	require.Empty(t, first.Warnings)
	previous := &batch.Delivery{RunID: s.run.ID, Generation: 1, Manifest: first.Manifest, Objects: first.Objects}
	s.run.ID = uuid.New()
	receipt, err = s.stage(d, 1, 1)
	require.NoError(t, err)
	again, err := d.Commit(t.Context(), s.run, []destinations.Receipt{receipt}, previous)
	require.NoError(t, err)
	require.Empty(t, again.Warnings)
	previous = &batch.Delivery{RunID: s.run.ID, Generation: 1, Manifest: again.Manifest, Objects: again.Objects}
	empty, err := d.Commit(t.Context(), s.newRun(), nil, previous)
	require.NoError(t, err)
	require.Empty(t, empty.Warnings)
	s.sees()
}

// TestARefusalNamesTheRight is for whoever has to grant it: the store's own words do not say which.
func TestARefusalNamesTheRight(t *testing.T) {
	t.Parallel()
	s := newHumbleScene(t, get, remove)
	_, err := s.stage(s.open(), 1, 1)
	require.Equal(t, batch.CodePermission, batch.CodeOf(err), "%v", err)
	require.Contains(t, batch.MessageOf(err), "the credentials do not allow it, s3:PutObject is missing")
}

const (
	put    = "s3:PutObject"
	abort  = "s3:AbortMultipartUpload"
	get    = "s3:GetObject"
	remove = "s3:DeleteObject"
)

func TestRightsThatAreMissingCostAWarning(t *testing.T) {
	t.Parallel()
	const (
		unverified = "could not be verified: the credentials may not read them"
		unremoved  = "of an earlier run could not be removed: the credentials may not delete"
	)
	for name, c := range map[string]struct {
		actions  []string
		warnings []string // parts, of a re-run with fewer files
		leftover bool     // what the re-run does not replace, stays
		probe    string   // what the connection test says
	}{
		"all four":  {actions: []string{put, abort, get, remove}},
		"no delete": {actions: []string{put, abort, get}, warnings: []string{unremoved, unremoved}, leftover: true, probe: "may not delete it"},
		"no get":    {actions: []string{put, abort, remove}, warnings: []string{unverified}, probe: "may not read it"},
		"neither":   {actions: []string{put, abort}, warnings: []string{unremoved, unverified, unremoved}, leftover: true, probe: "may neither read nor delete it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHumbleScene(t, c.actions...)
			d := s.open()
			receipt, err := s.stage(d, 1, 1)
			require.NoError(t, err)
			first, err := s.commit(d, receipt)
			require.NoError(t, err)
			for _, w := range first.Warnings {
				require.Contains(t, w, unverified, "there is nothing to remove yet")
			}
			again, err := s.commit(d, receipt)
			require.NoError(t, err, "a lost answer is made good")
			require.Equal(t, first.Objects, again.Objects)

			// A re-run replaces the file; another one of the earlier delivery is left over.
			leftover := "exports/leftover"
			_, err = s.bucket.Client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &s.bucket.Name, Key: &leftover, Body: strings.NewReader("x")})
			require.NoError(t, err)
			previous := &batch.Delivery{RunID: s.run.ID, Generation: 1, Manifest: first.Manifest, Objects: append(first.Objects, batch.Object{Key: leftover, Bytes: 1})}
			s.run.ID = uuid.New()
			receipt, err = s.stage(d, 1, 1)
			require.NoError(t, err)
			rerun, err := d.Commit(t.Context(), s.run, []destinations.Receipt{receipt}, previous)
			require.NoError(t, err)
			require.Len(t, rerun.Warnings, len(c.warnings), "%q", rerun.Warnings)
			for i, w := range c.warnings {
				require.Contains(t, rerun.Warnings[i], w)
			}
			visible := []string{base + ".jsonl", base + "_manifest.json"}
			if c.leftover {
				visible = append(visible, leftover)
			}
			s.sees(visible...)

			err = check(t, d, "Check that files can be written, read and deleted")
			if c.probe == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.probe)
				require.ErrorAs(t, err, new(*destinations.SkippedError))
			}
			require.NoError(t, check(t, d, "Check S3 bucket exists"), "they may not ask for the bucket, but write to it")
		})
	}
}

func TestAnEmptyRunWithoutRightsSaysWhatItLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		actions []string
		visible int
		warning string
	}{
		"no delete": {[]string{put, abort, get}, 2, "could not be removed"},
		"no get":    {[]string{put, abort, remove}, 0, "could not be verified"},
		"all four":  {[]string{put, abort, get, remove}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHumbleScene(t, c.actions...)
			d := s.open()
			receipt, err := s.stage(d, 1, 1)
			require.NoError(t, err)
			first, err := s.commit(d, receipt)
			require.NoError(t, err)
			empty, err := d.Commit(t.Context(), s.newRun(), nil, &batch.Delivery{RunID: s.run.ID, Generation: 1, Manifest: first.Manifest, Objects: first.Objects})
			require.NoError(t, err)
			objects, err := s.bucket.Objects(t.Context())
			require.NoError(t, err)
			require.Len(t, objects, c.visible)
			if c.warning == "" {
				require.Empty(t, empty.Warnings)
			} else {
				require.Contains(t, strings.Join(empty.Warnings, " "), c.warning)
			}
		})
	}
}

func TestAFileThatAnotherRunWroteIsNotRemoved(t *testing.T) {
	t.Parallel()
	s := newHumbleScene(t, put, abort, get, remove)
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	first, err := s.commit(d, receipt)
	require.NoError(t, err)
	unknown := &batch.Delivery{RunID: uuid.New(), Generation: 1, Manifest: first.Manifest, Objects: first.Objects}
	_, err = d.Commit(t.Context(), s.newRun(), nil, unknown)
	require.Equal(t, batch.CodeSuperseded, batch.CodeOf(err), "%v", err)
	s.sees(base+".jsonl", base+"_manifest.json")
}

func TestCredentialsThatCannotAbortFailTheConnectionTest(t *testing.T) {
	t.Parallel()
	s := newHumbleScene(t, put)
	err := check(t, s.open(), "Check S3 bucket exists")
	require.Equal(t, batch.CodePermission, batch.CodeOf(err))
	require.Contains(t, batch.MessageOf(err), "we couldn't access bucket '"+s.bucket.Name+"'. Check the provided credentials, endpoint")
}
