package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tranche/batch"
	"tranche/internal/safenet"
)

const (
	// dialTimeout, headTimeout and sendTimeout bound the connection, the wait for an answer, and a try as a whole.
	dialTimeout = 5 * time.Second
	headTimeout = 10 * time.Second
	sendTimeout = 15 * time.Second
	// maxURL is how long an address may be, maxAnswer how many bytes of an answer are read, so that its connection ends well.
	maxURL    = 2048
	maxAnswer = 64 << 10
	maxHead   = 64 << 10
	// mostRetryAfter is the longest time for which a receiver may ask to be left alone.
	mostRetryAfter = time.Hour
)

// What is wrong with an address.
var (
	ErrURL    = errors.New("Enter a URL that begins with https://, without credentials and fragment.")                          //nolint:staticcheck // a sentence for customers
	ErrScheme = errors.New("Only https:// is allowed, except to hosts in the networks that the operator of this server names.") //nolint:staticcheck // as above
)

// A Sender posts notifications. It is safe for use by several goroutines.
type Sender struct {
	guard safenet.Guard
	// secure goes anywhere that is public, plain only to the networks that the guard allows.
	secure, plain *http.Client
	now           func() time.Time
}

// NewSender returns a sender that connects to what the guard lets pass. The roots are whom to trust; nil = the machine's.
func NewSender(guard safenet.Guard, roots *x509.CertPool) *Sender {
	return &Sender{
		guard: guard, secure: newClient(guard.Control, roots), plain: newClient(guard.ControlAllowed, roots), now: time.Now,
	}
}

// newClient returns a client that follows no redirect, knows no proxy and keeps no cookies. Control sees each address that
// it connects to, after names are resolved.
func newClient(control func(network, address string, c syscall.RawConn) error, roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: control}
	return &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: headTimeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			MaxResponseHeaderBytes: maxHead, DisableKeepAlives: true, DisableCompression: true,
		},
	}
}

// Check says whether a customer may name the address: nil, ErrURL, ErrScheme, or what the guard says of its host.
func (s *Sender) Check(ctx context.Context, address string) error {
	u, err := parse(address)
	if err != nil {
		return err
	}
	if err := s.guard.Check(ctx, u.Hostname()); err != nil {
		return err
	}
	if u.Scheme != "https" && s.guard.CheckAllowed(ctx, u.Hostname()) != nil {
		return ErrScheme
	}
	return nil
}

// parse accepts http and https without anything that browsers and servers read differently.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Hostname() == "" ||
		u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, ErrURL
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, ErrURL
		}
	}
	return u, nil
}

// Send makes one try to post the notification to the subscription. What went wrong is told in words of ours: those of the
// receiver, and its address, are nobody's business who reads the log.
func (s *Sender) Send(ctx context.Context, to batch.Subscription, n batch.Notification) batch.Attempt {
	a := batch.Attempt{At: s.now().UTC()}
	s.send(ctx, to, n, &a)
	a.Duration = s.now().Sub(a.At)
	return a
}

func (s *Sender) send(ctx context.Context, to batch.Subscription, n batch.Notification, a *batch.Attempt) {
	u, err := parse(to.URL)
	if err != nil {
		a.Error, a.Final = "the address is not one that this server accepts", true
		return
	}
	client := s.secure
	if u.Scheme != "https" {
		client = s.plain
	}
	// The guard is asked before as well: a name that only means something in our network is not looked up.
	if err := s.guard.Check(ctx, u.Hostname()); err != nil {
		a.Error = "the receiver's host cannot be reached from here: it has no address, or one that is not public"
		return
	}
	request, err := s.request(ctx, to, n, u, a.At)
	if err != nil {
		a.Error, a.Final = "the notification could not be signed: give the subscription another secret", true
		return
	}
	response, err := client.Do(request)
	if err != nil {
		a.Error = reason(err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // the status is all that counts
	a.StatusCode = response.StatusCode
	judge(response, a)
}

func (s *Sender) request(ctx context.Context, to batch.Subscription, n batch.Notification, u *url.URL, at time.Time) (*http.Request, error) {
	body, err := Body(to.Kind, n)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tranche-notifications/1")
	if to.Kind != batch.KindWebhook {
		return request, nil
	}
	id, timestamp := n.ID.String(), strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, secret := range to.Secrets(at) {
		signature, err := Sign(secret, id, timestamp, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	request.Header.Set(HeaderID, id)
	request.Header.Set(HeaderTimestamp, timestamp)
	request.Header.Set(HeaderSignature, strings.Join(signatures, " "))
	request.Header.Set(HeaderEvent, string(n.Event))
	return request, nil
}

// judge says what an answer means. Only 2xx is a yes, and only 410 ends the tries: whatever else is wrong, somebody may
// mend it within the day.
func judge(response *http.Response, a *batch.Attempt) {
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return
	case code >= 300 && code < 400:
		a.Error = fmt.Sprintf("the receiver answered %d, a redirect, which is not followed: give its final address", code)
	case code == http.StatusGone:
		a.Error, a.Final = "the receiver answered 410: it is gone", true
	default:
		a.Error = fmt.Sprintf("the receiver answered %d", code)
	}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		a.RetryAfter = min(time.Duration(seconds)*time.Second, mostRetryAfter)
	}
}

// reason says why there was no answer, without what the error quotes.
func reason(err error) string {
	var (
		unknown   x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		resolving *net.DNSError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, safenet.ErrForbidden):
		return "the receiver's host leads to an address that is not public"
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		return "the receiver's certificate is not valid"
	case errors.As(err, &resolving):
		return "the receiver's host has no address"
	case errors.Is(err, context.Canceled):
		return "the try was cut short"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the receiver did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the receiver refused the connection"
	}
	return "the connection to the receiver broke"
}
