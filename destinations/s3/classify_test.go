package s3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations/s3"
	"tranche/internal/miniotest"
	"tranche/internal/safenet"
)

// stageAt stages to an endpoint, and returns why it failed.
func stageAt(t *testing.T, b miniotest.Bucket, server s3.Server, over map[string]any) error {
	t.Helper()
	s := newScene(t, b, with(with(settings(b), map[string]any{"endpoint_url": b.Endpoint}), over), server, s3.Fake{Idle: impatient})
	_, err := s.stage(s.open(), 1, 1)
	require.Error(t, err)
	return err
}

func TestWhatTheRealServerSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]any
		code     batch.Code
		message  string // a part
	}{
		"no such bucket":       {map[string]any{"bucket_name": "nowhere"}, batch.CodeNotFound, `bucket "nowhere": it does not exist`},
		"an unknown key":       {map[string]any{"aws_access_key_id": "AKIAUNKNOWN"}, batch.CodeCredentials, "the access key id is not known there"},
		"a wrong secret":       {map[string]any{"aws_secret_access_key": "wr0ngSecret"}, batch.CodeCredentials, "the secret access key does not belong to the access key id"},
		"another region":       {map[string]any{"region": "eu-west-9"}, batch.CodeConfig, "it is in another region, or at another endpoint"},
		"an unknown KMS key":   {map[string]any{"encryption": "aws:kms", "kms_key_id": "unknown"}, batch.CodePermission, "its KMS key cannot be used"},
		"nobody answers":       {map[string]any{"endpoint_url": "http://127.0.0.1:1"}, batch.CodeUnavailable, "its endpoint refuses connections"},
		"no such host":         {map[string]any{"endpoint_url": "http://no-such-host.invalid"}, batch.CodeConfig, "the host of its endpoint does not exist"},
		"a name with two dots": {map[string]any{"prefix": "a/{{}}..b/"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := server.Bucket(t)
			if c.code == "" {
				s := newScene(t, b, with(settings(b), with(c.settings, map[string]any{"endpoint_url": b.Endpoint})), s3.Server{}, s3.Fake{})
				_, err := s.stage(s.open(), 1, 1)
				require.NoError(t, err)
				return
			}
			err := stageAt(t, b, s3.Server{}, c.settings)
			require.Equal(t, c.code, batch.CodeOf(err), "%v", err)
			require.Contains(t, batch.MessageOf(err), c.message)
			require.NotContains(t, batch.MessageOf(err), "wr0ngSecret")
			require.NotContains(t, err.Error(), "wr0ngSecret")
		})
	}
}

// answers are what stores and STS say, and what it means. The client reads the real XML.
func TestWhatStoresAnswer(t *testing.T) {
	t.Parallel()
	type answer struct {
		status int
		code   string
		want   batch.Code
	}
	for _, c := range []answer{
		{403, "AccessDenied", batch.CodePermission},
		{403, "AllAccessDisabled", batch.CodePermission},
		{403, "AccountProblem", batch.CodePermission},
		{403, "InvalidAccessKeyId", batch.CodeCredentials},
		{403, "SignatureDoesNotMatch", batch.CodeCredentials},
		{400, "InvalidToken", batch.CodeCredentials},
		{400, "ExpiredToken", batch.CodeUnavailable},
		{403, "RequestTimeTooSkewed", batch.CodeInternal},
		{404, "NoSuchBucket", batch.CodeNotFound},
		{503, "SlowDown", batch.CodeThrottled},
		{429, "TooManyRequests", batch.CodeThrottled},
		{429, "", batch.CodeThrottled},
		{400, "RequestTimeout", batch.CodeTimeout},
		{500, "InternalError", batch.CodeUnavailable},
		{503, "ServiceUnavailable", batch.CodeUnavailable},
		{502, "", batch.CodeUnavailable},
		{409, "OperationAborted", batch.CodeUnavailable},
		{400, "BadDigest", batch.CodeUnavailable},
		{400, "XAmzContentSHA256Mismatch", batch.CodeUnavailable},
		{301, "PermanentRedirect", batch.CodeConfig},
		{307, "TemporaryRedirect", batch.CodeUnavailable},
		{400, "AuthorizationHeaderMalformed", batch.CodeConfig},
		{400, "InvalidBucketName", batch.CodeConfig},
		{400, "KeyTooLongError", batch.CodeConfig},
		{400, "EntityTooLarge", batch.CodeConfig},
		{501, "NotImplemented", batch.CodeConfig},
		{400, "InvalidArgument", batch.CodeConfig},
		{400, "SomethingNew", batch.CodeConfig},
		{401, "SomethingNew", batch.CodeCredentials},
		{403, "SomethingNew", batch.CodePermission},
		{507, "SomethingNew", batch.CodeNoSpace},
		{507, "XMinioStorageFull", batch.CodeNoSpace},
		{400, "KMS.DisabledException", batch.CodePermission},
		{400, "KMS.NotFoundException", batch.CodePermission},
		{400, "KMS.ThrottlingException", batch.CodeThrottled},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			t.Parallel()
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(c.status)
				if c.code != "" {
					fmt.Fprintf(w, "<Error><Code>%s</Code><Message>The vendor\n  says so.</Message></Error>", c.code)
				}
			}))
			t.Cleanup(store.Close)
			err := stageAt(t, fakeBucket(store.URL), s3.Server{}, nil)
			require.Equal(t, c.want, batch.CodeOf(err), "%v", err)
			require.True(t, strings.HasPrefix(batch.MessageOf(err), `bucket "b": `), batch.MessageOf(err))
			if c.code != "" {
				require.Contains(t, batch.MessageOf(err), "The vendor says so", "the vendor's text is shown")
			}
			require.NotContains(t, batch.MessageOf(err), "s3cr3t")
		})
	}
}

// fakeBucket is one of a server that is none.
func fakeBucket(endpoint string) miniotest.Bucket {
	return miniotest.Bucket{Name: "b", Endpoint: endpoint, AccessKeyID: "AKIA", SecretAccessKey: "s3cr3t"}
}

func TestEndpointsThatAreNoStores(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome</html") })
	plain, secure := httptest.NewServer(page), httptest.NewUnstartedServer(page)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of us
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	for name, c := range map[string]struct {
		endpoint string
		code     batch.Code
		message  string
	}{
		"a web page":              {plain.URL, batch.CodeConfig, "its endpoint does not answer as S3 does"},
		"TLS where there is none": {strings.Replace(plain.URL, "http:", "https:", 1), batch.CodeConfig, "its endpoint does not speak TLS"},
		"a certificate of nobody": {secure.URL, batch.CodeConfig, "the certificate of its endpoint is signed by an authority that this server does not know"},
		"silence":                 {"http://" + silent.Addr().String(), batch.CodeTimeout, "it does not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := stageAt(t, fakeBucket(c.endpoint), s3.Server{}, nil)
			require.Equal(t, c.code, batch.CodeOf(err), "%v", err)
			require.Contains(t, batch.MessageOf(err), c.message)
		})
	}
}

// A lenientGuard finds every name fine: it was, when the settings were saved.
type lenientGuard struct{ safenet.Guard }

// Check is the s3.Guard's.
func (lenientGuard) Check(context.Context, string) error { return nil }

// Control is the s3.Guard's.
func (g lenientGuard) Control(network, address string, c syscall.RawConn) error {
	return g.Guard.Control(network, address, c)
}

func TestConnectionsIntoOurNetworkAreRefusedWhenTheyAreMade(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	ours := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(ours.Close)
	err := stageAt(t, fakeBucket(ours.URL), s3.Server{Guard: lenientGuard{}}, nil)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
	require.Contains(t, batch.MessageOf(err), "could not reach its host. Check that the hostname is correct and reachable from the internet")
	require.Zero(t, visits.Load())

	redirecting := httptest.NewServer(http.RedirectHandler(ours.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	err = stageAt(t, fakeBucket(redirecting.URL), s3.Server{}, nil)
	require.Error(t, err)
	require.Zero(t, visits.Load(), "no redirect is followed")
}

// A meddler stands between us and the store.
func meddler(t *testing.T, b miniotest.Bucket, meddle func(w http.ResponseWriter, r *http.Request, forward http.Handler)) string {
	t.Helper()
	u, err := url.Parse(b.Endpoint)
	require.NoError(t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // the signature is good for it
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { meddle(w, r, forward) }))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

func TestAnErrorInTheBodyOfASuccessIsAnError(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	var completions atomic.Int64
	endpoint := meddler(t, b, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if isComplete(r) && completions.Add(1) == 1 {
			w.WriteHeader(http.StatusOK)
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n\n"+`<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>`)
			return
		}
		forward.ServeHTTP(w, r)
	})
	s := newScene(t, b, with(settings(b), map[string]any{"endpoint_url": endpoint}), s3.Server{}, s3.Fake{})
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	_, err = s.commit(d, receipt)
	require.NoError(t, err, "it is done again")
	require.Equal(t, int64(3), completions.Load())
	s.sees(base+".jsonl", base+"_manifest.json")
}

func TestDataThatIsDamagedOnItsWayIsSentAgain(t *testing.T) {
	t.Parallel()
	b := server.Bucket(t)
	var damaged atomic.Int64
	endpoint := meddler(t, b, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method == http.MethodPut && damaged.Add(1) == 1 {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		forward.ServeHTTP(w, r)
	})
	s := newScene(t, b, with(settings(b), map[string]any{"endpoint_url": endpoint}), s3.Server{}, s3.Fake{})
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	require.Equal(t, int64(2), damaged.Load(), "the store has refused the first one")
	_, err = s.commit(d, receipt)
	require.NoError(t, err)
	s.sees(base+".jsonl", base+"_manifest.json")
}

func TestAddressing(t *testing.T) {
	t.Parallel()
	for virtual, host := range map[bool]string{true: "exports.no-such-host.invalid", false: "no-such-host.invalid"} {
		err := stageAt(t, fakeBucket("http://no-such-host.invalid"), s3.Server{}, map[string]any{
			"use_virtual_style_addressing": virtual, "bucket_name": "exports",
		})
		var asked *net.DNSError
		require.ErrorAs(t, err, &asked)
		require.Equal(t, host, asked.Name)
	}
}
