package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

const (
	maxBody  = 1 << 20 // bytes
	maxDepth = 32      // of objects and lists within each other
)

// decode reads the request's body: one JSON object. An empty body is an empty object.
func decode(c *gin.Context) (*form, error) {
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return newForm(nil), nil
	}
	if err := checkMediaType(c.GetHeader("Content-Type")); err != nil {
		return nil, err
	}
	value, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	switch fields := value.(type) {
	case map[string]any:
		return newForm(fields), nil
	case nil:
		return nil, invalid("", codeNull, "No data provided")
	}
	return nil, invalid("", codeInvalid, "Invalid data. Expected a dictionary, but got %s.", typeName(value))
}

func readBody(c *gin.Context) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refused(http.StatusRequestEntityTooLarge, typeInvalid, "request_too_large",
			fmt.Sprintf("The request is larger than %d bytes.", maxBody))
	}
	if err != nil {
		return nil, parseError("the body broke off")
	}
	return body, nil
}

// checkMediaType accepts JSON, and requests that do not say what they carry.
func checkMediaType(header string) error {
	if header == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(header)
	charset := params["charset"]
	if err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return refused(http.StatusUnsupportedMediaType, typeInvalid, "unsupported_media_type",
			fmt.Sprintf("Unsupported media type \"%s\" in request.", strings.ToValidUTF8(header, "\uFFFD")))
	}
	return nil
}

// parseJSON parses one JSON text into map[string]any, []any, string, int64, float64, bool and nil. It refuses what
// encoding/json lets pass and what the database could not store: keys that repeat, text that is not UTF-8, NUL
// characters, numbers that do not fit, and nesting without end.
func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, parseError("the text is not valid UTF-8")
	}
	p := parser{json.NewDecoder(bytes.NewReader(text))}
	p.UseNumber()
	value, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := p.Token(); !errors.Is(err, io.EOF) {
		return nil, parseError(fmt.Sprintf("extra data at offset %d", p.InputOffset()))
	}
	return value, nil
}

type parser struct{ *json.Decoder }

// token returns the next token; errors are refusals.
func (p parser) token() (json.Token, error) {
	token, err := p.Token()
	if err == nil {
		return token, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, parseError("unexpected end of the text")
	}
	return nil, parseError(fmt.Sprintf("%v at offset %d", err, p.InputOffset()))
}

// value parses the value at the path attr, which lies depth levels deep.
func (p parser) value(attr string, depth int) (any, error) {
	token, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, parseError(fmt.Sprintf("nested deeper than %d levels", maxDepth))
		}
		if t == '{' {
			return p.object(attr, depth+1)
		}
		return p.list(attr, depth+1)
	case string:
		return t, checkNul(attr, t)
	case json.Number:
		return number(attr, t)
	}
	return token, nil
}

func (p parser) object(attr string, depth int) (any, error) {
	fields := map[string]any{}
	for p.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, parseError(fmt.Sprintf("expected a name at offset %d", p.InputOffset()))
		}
		if err := checkNul(attr, name); err != nil {
			return nil, err
		}
		if _, ok := fields[name]; ok {
			return nil, parseError(fmt.Sprintf("the name %q repeats at offset %d", clip(name), p.InputOffset()))
		}
		if fields[name], err = p.value(join(attr, name), depth); err != nil {
			return nil, err
		}
	}
	_, err := p.token()
	return fields, err
}

func (p parser) list(attr string, depth int) (any, error) {
	items := []any{}
	for p.More() {
		item, err := p.value(join(attr, strconv.Itoa(len(items))), depth)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := p.token()
	return items, err
}

// number keeps integers exact.
func number(attr string, n json.Number) (any, error) {
	if !strings.ContainsAny(n.String(), ".eE") {
		if i, err := n.Int64(); err == nil {
			return i, nil
		}
		return nil, invalid(attr, codeInvalid, "This number is out of range.")
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) {
		return nil, invalid(attr, codeInvalid, "This number is out of range.")
	}
	return f, nil
}

// checkNul refuses NUL characters, which PostgreSQL cannot store.
func checkNul(attr, text string) error {
	if strings.ContainsRune(text, 0) {
		return invalid(attr, codeNul, "Null characters are not allowed.")
	}
	return nil
}

// join makes the path of a field below attr.
func join(attr, name string) string {
	if attr == "" {
		return clip(name)
	}
	return attr + "__" + clip(name)
}

// maxShown is how many characters of what a caller sent are sent back in an error.
const maxShown = 200

// clip shortens text for an error.
func clip(text string) string {
	n := 0
	for i := range text {
		if n == maxShown {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// typeName names the type of a JSON value as clients know it from errors about configuration.
func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "NoneType"
	case string:
		return "str"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case []any:
		return "list"
	}
	return "dict"
}
