package webhook_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/safenet"
	"tranche/internal/webhook"
)

// loopback lets notifications reach the machine itself.
var loopback = safenet.Guard{Allow: safenet.Loopback()}

func notification() batch.Notification {
	start, end := time.Date(2026, 5, 6, 7, 0, 0, 0, time.UTC), time.Date(2026, 5, 6, 8, 0, 0, 0, time.UTC)
	rows, run := int64(12), uuid.New()
	return batch.Notification{
		ID: uuid.New(), TeamID: 1, ExportID: uuid.New(), Event: batch.EventFailed, CreatedAt: end,
		Facts: batch.Facts{
			Name: "All <events> & more", Model: batch.ModelEvents, Interval: batch.Hourly, Destination: "S3", RunID: &run, Start: &start, End: &end,
			Rows: &rows, ErrorCode: batch.CodePermission, Error: "the bucket refused our credentials",
		},
	}
}

func to(address string) batch.Subscription {
	return batch.Subscription{ID: uuid.New(), Kind: batch.KindWebhook, URL: address, Secret: webhook.NewSecret()}
}

// receiver answers each post with what answer makes of it.
func receiver(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

func TestAWebhookIsSigned(t *testing.T) {
	t.Parallel()
	var (
		header http.Header
		body   []byte
	)
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	s, n := to(server.URL+"/hook?token=1"), notification()
	attempt := webhook.NewSender(loopback, nil).Send(t.Context(), s, n)
	require.True(t, attempt.Delivered(), attempt.Error)
	require.Equal(t, http.StatusOK, attempt.StatusCode)
	require.Equal(t, n.ID.String(), header.Get("Webhook-Id"))
	require.Equal(t, "failed", header.Get("Tranche-Event"))
	at, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), time.Unix(at, 0), time.Minute)
	signature, err := webhook.Sign(s.Secret, n.ID.String(), header.Get("Webhook-Timestamp"), body)
	require.NoError(t, err)
	require.Equal(t, signature, header.Get("Webhook-Signature"))

	var sent map[string]any
	require.NoError(t, json.Unmarshal(body, &sent))
	require.Equal(t, "failed", sent["event"])
	require.Equal(t, "2026-05-06T07:00:00Z", sent["data_interval_start"])
	require.Equal(t, map[string]any{"code": "permission_denied", "message": "the bucket refused our credentials", "who_must_act": "customer"}, sent["error"])
	require.Equal(t, "All <events> & more", sent["batch_export"].(map[string]any)["name"])
}

// While a secret is replaced, receivers who know either one take what they are sent.
func TestAWebhookIsSignedWithBothSecretsForAWhile(t *testing.T) {
	t.Parallel()
	var (
		header http.Header
		body   []byte
	)
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	n := notification()
	signed := func(s batch.Subscription, secrets ...string) {
		t.Helper()
		require.True(t, webhook.NewSender(loopback, nil).Send(t.Context(), s, n).Delivered())
		var want []string
		for _, secret := range secrets {
			signature, err := webhook.Sign(secret, n.ID.String(), header.Get("Webhook-Timestamp"), body)
			require.NoError(t, err)
			want = append(want, signature)
		}
		require.Equal(t, strings.Join(want, " "), header.Get("Webhook-Signature"))
	}
	s, now := to(server.URL), time.Now()
	first, second, third := s.Secret, webhook.NewSecret(), webhook.NewSecret()
	s.Replace(second, now)
	signed(s, second, first)
	s.Replace(second, now)
	signed(s, second, first)
	s.Replace(third, now.Add(-batch.SecretOverlap+time.Minute))
	signed(s, third, second)
	s.OldSecretUntil = now.Add(-time.Second)
	signed(s, third)
	s.Replace(second, now)
	s.Forget()
	signed(s, second)
}

// TestTheSignatureIsThatOfTheSpecification is the example of the Standard Webhooks specification, made there by others.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	t.Parallel()
	signature, err := webhook.Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signature)
}

func TestEveryTryHasTheSameBody(t *testing.T) {
	t.Parallel()
	for _, kind := range batch.SubscriptionKinds {
		for _, event := range append(batch.Events, batch.EventTest) {
			n := notification()
			n.Event, n.Facts.Added = event, []string{"elements_chain"}
			first, err := webhook.Body(kind, n)
			require.NoError(t, err)
			again, err := webhook.Body(kind, n)
			require.NoError(t, err)
			require.Equal(t, first, again)
			require.True(t, json.Valid(first))
			require.NotEmpty(t, webhook.Text(n))
		}
	}
}

func TestSlackIsSentTextThatCannotCallAnybody(t *testing.T) {
	t.Parallel()
	n := notification()
	n.Facts.Name, n.Facts.Error = "<!channel> <https://evil.example|click>", strings.Repeat("long & longer ", 1000)
	body, err := webhook.Body(batch.KindSlack, n)
	require.NoError(t, err)
	require.Less(t, len(body), 12_000)
	var sent struct {
		Text   string
		Blocks []struct {
			Type string
			Text struct{ Type, Text string }
		}
	}
	require.NoError(t, json.Unmarshal(body, &sent))
	require.NotContains(t, sent.Text, "<")
	require.NotContains(t, sent.Blocks[0].Text.Text, "<")
	require.Contains(t, sent.Text, "&lt;!channel&gt;")
	require.Equal(t, "mrkdwn", sent.Blocks[0].Text.Type)
	require.LessOrEqual(t, len([]rune(sent.Blocks[0].Text.Text)), 3000)
}

func TestWhatReceiversAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   int
		says   string
		final  bool
		after  time.Duration
	}{
		"yes":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 202, "", false, 0},
		"no":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 401, "the receiver answered 401", false, 0},
		"gone": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, 410, "the receiver answered 410: it is gone", true, 0},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 429, "the receiver answered 429", false, 90 * time.Second},
		"come next year": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, 503, "the receiver answered 503", false, time.Hour},
		"go elsewhere": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			},
			307, "the receiver answered 307, a redirect, which is not followed: give its final address", false, 0,
		},
		"it hangs up": {
			func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_ = conn.Close()
				}
			}, 0, "the connection to the receiver broke", false, 0,
		},
		"an answer without end": {
			func(w http.ResponseWriter, _ *http.Request) {
				for range 1000 {
					if _, err := w.Write(make([]byte, 4096)); err != nil {
						return
					}
				}
			}, 200, "", false, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt := webhook.NewSender(loopback, nil).Send(t.Context(), to(receiver(t, c.answer).URL), notification())
			require.Equal(t, c.code, attempt.StatusCode)
			require.Equal(t, c.says, attempt.Error)
			require.Equal(t, c.final, attempt.Final)
			require.Equal(t, c.after, attempt.RetryAfter)
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	inside := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	outside := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside.URL, http.StatusPermanentRedirect)
	})
	require.False(t, webhook.NewSender(loopback, nil).Send(t.Context(), to(outside.URL), notification()).Delivered())
	require.Zero(t, reached.Load())
}

func TestTLSIsChecked(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	attempt := webhook.NewSender(loopback, nil).Send(t.Context(), to(server.URL), notification())
	require.Equal(t, "the receiver's certificate is not valid", attempt.Error)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	attempt = webhook.NewSender(loopback, roots).Send(t.Context(), to(server.URL), notification())
	require.True(t, attempt.Delivered(), attempt.Error)
}

// TestNothingInsideIsReached names hosts of ours in every way: none may see a connection.
func TestNothingInsideIsReached(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	inside, err := url.Parse(server.URL)
	require.NoError(t, err)
	port := inside.Port()
	for name, c := range map[string]struct {
		address string
		guard   safenet.Guard
	}{
		"an address":                    {"https://127.0.0.1:" + port, safenet.Guard{}},
		"an address, without TLS":       {"http://127.0.0.1:" + port, safenet.Guard{}},
		"IPv6":                          {"https://[::1]:" + port, safenet.Guard{}},
		"IPv4 in IPv6":                  {"https://[::ffff:127.0.0.1]:" + port, safenet.Guard{}},
		"a name":                        {"https://localhost:" + port, safenet.Guard{}},
		"a number":                      {"https://2130706433:" + port, safenet.Guard{}},
		"octal":                         {"https://0177.0.0.1:" + port, safenet.Guard{}},
		"the cloud's metadata":          {"http://169.254.169.254/latest/meta-data/", safenet.Guard{}},
		"a network that is not allowed": {"https://127.0.0.1:" + port, safenet.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		"a name that leads inside": {"https://inside.example.com:" + port, safenet.Guard{Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}}},
		"one address of a name does": {"https://half.example.com:" + port, safenet.Guard{Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("127.0.0.1")}, nil
		}}},
	} {
		sender := webhook.NewSender(c.guard, nil)
		attempt := sender.Send(t.Context(), to(c.address), notification())
		require.False(t, attempt.Delivered(), name)
		require.NotContains(t, attempt.Error, port, "%s: nothing of the address is told", name)
		require.Zero(t, attempt.StatusCode, name)
	}
	require.Zero(t, reached.Load())
}

// TestTheConnectionItselfIsGuarded lets the check of the name pass, as it does when a name changes its meaning after it.
func TestTheConnectionItselfIsGuarded(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := strings.TrimPrefix(server.URL, "http://127.0.0.1:")
	guard := safenet.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}}
	for _, scheme := range []string{"http://", "https://"} { // localhost leads to the machine when it is connected to
		attempt := webhook.NewSender(guard, nil).Send(t.Context(), to(scheme+"localhost:"+port), notification())
		require.Equal(t, "the receiver's host leads to an address that is not public", attempt.Error)
	}
	require.Zero(t, reached.Load())
}

func TestAddressesThatAreAccepted(t *testing.T) {
	t.Parallel()
	guard := safenet.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "ours.example.com" {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
	}}
	for address, want := range map[string]error{
		"https://example.com/a/b?c=d":                      nil,
		"https://example.com:8443":                         nil,
		"https://ours.example.com/x":                       nil,
		"http://ours.example.com/x":                        nil,
		"http://10.1.2.3:9/x":                              nil,
		"http://example.com/x":                             webhook.ErrScheme,
		"https://192.168.0.1/":                             safenet.ErrForbidden,
		"https://example.com#fragment":                     webhook.ErrURL,
		"https://user@example.com":                         webhook.ErrURL,
		"https:example.com":                                webhook.ErrURL,
		"https://":                                         webhook.ErrURL,
		"https://example.com:0/":                           webhook.ErrURL,
		"https://example.com:99999/":                       webhook.ErrURL,
		"https://example.com/\nX":                          webhook.ErrURL,
		"https://example.com/ü":                            webhook.ErrURL,
		"javascript:alert(1)":                              webhook.ErrURL,
		"https://example.com/" + strings.Repeat("x", 3000): webhook.ErrURL,
	} {
		err := webhook.NewSender(guard, nil).Check(t.Context(), address)
		if want == nil {
			require.NoError(t, err, address)
			continue
		}
		require.ErrorIs(t, err, want, address)
	}
}
