package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tranche/batch"
)

// A countedPage is a page of a list that is read by limit and offset.
type countedPage[T any] struct {
	Count    int64   `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  []T     `json:"results"`
}

// A cursorPage is a page of a list that is read by cursor.
type cursorPage[T any] struct {
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  []T     `json:"results"`
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// offsetLinks returns the addresses of the pages behind and before this one.
func (s *Server) offsetLinks(c *gin.Context, p *params, limit, offset int, count int64) (next, previous *string) {
	if after := int64(offset) + int64(limit); after < count {
		next = s.link(c, p.values, map[string]string{"limit": strconv.Itoa(limit), "offset": strconv.FormatInt(after, 10)})
	}
	if offset > 0 {
		previous = s.link(c, p.values, map[string]string{"limit": strconv.Itoa(limit), "offset": strconv.Itoa(max(0, offset-limit))})
	}
	return next, previous
}

// A cursorList is a list that is read by cursor.
type cursorList[T any] struct {
	order ordering
	size  int
	// identity is everything that decides which rows the list has and in what order; a cursor is of use only there.
	identity url.Values
	// fetch returns the rows strictly behind a position; nil = from the start.
	fetch    func(order ordering, after *batch.Position, limit int) ([]T, error)
	position func(T) batch.Position
}

// turn returns the page that the parameter cursor names: the first one when there is none. Rows that are added
// meanwhile neither repeat nor hide others.
func turn[T any](s *Server, c *gin.Context, p *params, l cursorList[T]) (page cursorPage[T], err error) {
	list := listHash(l.identity)
	var from *cursor
	if text := p.text("cursor"); text != "" {
		if from, err = s.unseal(list, text); err != nil {
			return page, err
		}
	}
	order, after := l.order, (*batch.Position)(nil)
	if from != nil {
		after = &from.at
		order.desc = order.desc != from.back
	}
	rows, err := l.fetch(order, after, l.size+1)
	if err != nil {
		return page, err
	}
	more := len(rows) > l.size
	rows = rows[:min(len(rows), l.size)]
	back := from != nil && from.back
	if back {
		slices.Reverse(rows)
	}
	page.Results = rows
	if len(rows) == 0 {
		return page, nil
	}
	if more || back {
		if page.Next, err = s.cursorLink(c, p, list, cursor{at: l.position(rows[len(rows)-1])}); err != nil {
			return page, err
		}
	}
	if from != nil && (more || !back) {
		page.Previous, err = s.cursorLink(c, p, list, cursor{at: l.position(rows[0]), back: true})
	}
	return page, err
}

// bodies turns the rows of a page into what is sent.
func bodies[T, B any](page cursorPage[T], body func(T) B) cursorPage[B] {
	return cursorPage[B]{Next: page.Next, Previous: page.Previous, Results: each(page.Results, body)}
}

// each maps rows to bodies; no rows are [], not null.
func each[T, B any](rows []T, body func(T) B) []B {
	out := make([]B, len(rows))
	for i, row := range rows {
		out[i] = body(row)
	}
	return out
}

func (s *Server) cursorLink(c *gin.Context, p *params, list []byte, at cursor) (*string, error) {
	text, err := s.seal(list, at)
	if err != nil {
		return nil, err
	}
	return s.link(c, p.values, map[string]string{"cursor": text}), nil
}

// link returns the absolute address of the request with some parameters of its query replaced.
func (s *Server) link(c *gin.Context, query url.Values, replace map[string]string) *string {
	values := url.Values{}
	for name, texts := range query {
		values[name] = texts
	}
	for name, text := range replace {
		values[name] = []string{text}
	}
	scheme, host := s.origin(c.Request)
	address := url.URL{Scheme: scheme, Host: host, Path: requestPath(c.Request), RawQuery: values.Encode()}
	text := address.String()
	return &text
}

// requestPath is the path as the client wrote it, with its trailing slash if it had one.
func requestPath(r *http.Request) string {
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return sent.Path
	}
	return r.URL.Path
}

// hostPattern is what a forwarded host may look like.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`)

// origin is how the client reached us. Only trusted proxies may say so.
func (s *Server) origin(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if !s.fromTrustedProxy(r) {
		return scheme, host
	}
	if proto := strings.ToLower(firstOf(r.Header.Get("X-Forwarded-Proto"))); proto == "http" || proto == "https" {
		scheme = proto
	}
	if forwarded := firstOf(r.Header.Get("X-Forwarded-Host")); hostPattern.MatchString(forwarded) {
		host = forwarded
	}
	return scheme, host
}

func (s *Server) fromTrustedProxy(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return s.trusts(peer.Addr().Unmap())
}

// trusts says whether the address is that of a trusted proxy.
func (s *Server) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(network netip.Prefix) bool { return network.Contains(address) })
}

// firstOf is the first element of a header that proxies append to.
func firstOf(header string) string {
	first, _, _ := strings.Cut(header, ",")
	return strings.TrimSpace(first)
}
