package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/internal/app"
)

// Params are the parameters of a query, read one by one. The first problem is kept, as in a form.
type params struct {
	values url.Values
	zone   *time.Location
	now    time.Time
	first  *app.Problem
	// spec, if not nil, collects the parameters that would be read.
	spec *[]schema
}

// params reads the request's query. What repeats counts as last given, as clients expect.
func (s *Server) params(c *gin.Context, who caller) (*params, error) {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, invalid("", codeInvalid, "The query string is malformed.")
	}
	for name, texts := range values {
		for _, text := range append(slices.Clone(texts), name) {
			if !utf8.ValidString(text) {
				return nil, invalid("", codeInvalid, "The query string is not valid UTF-8.")
			}
			if err := checkNul(clip(name), text); err != nil {
				return nil, err
			}
		}
	}
	return &params{values: values, zone: who.zone, now: s.Now()}, nil
}

// problem returns the first problem, or nil.
func (p *params) problem() error {
	if p.first == nil {
		return nil
	}
	return p.first
}

func (p *params) fail(name, code, format string, args ...any) {
	if p.first == nil {
		p.first = invalid(name, code, format, args...)
	}
}

// note adds a parameter to those that are being collected.
func (p *params) note(name string, of schema, required bool) {
	if p.spec != nil {
		*p.spec = append(*p.spec, schema{"name": name, "in": "query", "required": required, "schema": of})
	}
}

// explain says what a parameter means that is being collected.
func (p *params) explain(name, meaning string) {
	if p.spec == nil {
		return
	}
	for _, of := range *p.spec {
		if of["name"] == name {
			of["description"] = meaning
		}
	}
}

// text returns a parameter; absent and empty are the same.
func (p *params) text(name string) string {
	p.note(name, schema{"type": "string"}, false)
	return p.get(name)
}

func (p *params) get(name string) string {
	all := p.values[name]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// number returns an integer of at least least, or absent when it is not given.
func (p *params) number(name string, absent, least int) int {
	p.note(name, schema{"type": "integer", "minimum": least, "default": absent}, false)
	text := p.get(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		p.fail(name, codeInvalid, "A valid integer is required.")
	case int(n) < least:
		p.fail(name, codeMin, "Ensure this value is greater than or equal to %d.", least)
	}
	return int(n)
}

// instant returns a time, ISO 8601 or relative to now, or nil.
func (p *params) instant(name string) *time.Time {
	p.note(name, schema{"type": "string", "description": "ISO 8601, or a time before now like -7d or -3h."}, false)
	text := p.get(name)
	if text == "" {
		return nil
	}
	t, ok := parseRelative(text, p.now, p.zone)
	if !ok {
		t, ok = parseTime(text, p.zone)
	}
	if at := strings.LastIndexByte(text, ' '); !ok && at > 0 { // a plus sign that the client did not escape
		t, ok = parseTime(text[:at]+"+"+text[at+1:], p.zone)
	}
	if !ok {
		p.fail(name, codeInvalid, "'%s' is not a valid datetime: give ISO 8601, or a time before now like -7d or -3h.", clip(text))
		return nil
	}
	return &t
}

// id returns a UUID, or nil.
func (p *params) id(name string) *uuid.UUID {
	p.note(name, schema{"type": "string", "format": "uuid"}, false)
	text := p.get(name)
	if text == "" {
		return nil
	}
	id, ok := parseID(text)
	if !ok {
		p.fail(name, codeInvalid, "“%s” is not a valid UUID.", clip(text))
		return nil
	}
	return &id
}

// choice returns one of the choices, the first of them when none is given.
func (p *params) choice(name string, choices ...string) string {
	p.note(name, schema{"type": "string", "enum": choices, "default": choices[0]}, false)
	text := p.get(name)
	if text == "" {
		return choices[0]
	}
	if !slices.Contains(choices, text) {
		p.failChoice(name, text)
	}
	return text
}

func (p *params) failChoice(name, text string) {
	p.fail(name, codeChoice, "\"%s\" is not a valid choice.", clip(text))
}

// list returns the elements of a parameter that may repeat and may hold several between commas.
func (p *params) list(name string) []string {
	p.note(name, schema{"type": "string", "description": "Several may be given, with commas between them."}, false)
	var all []string
	for _, text := range p.values[name] {
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// pathID returns the UUID that a path names. What is none names nothing: 404.
func pathID(c *gin.Context, name string) (uuid.UUID, error) {
	id, ok := parseID(c.Param(name))
	if !ok {
		return uuid.UUID{}, notFound("Not found.")
	}
	return id, nil
}

// parseID accepts the canonical form of a UUID only.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && strings.EqualFold(id.String(), text)
}
