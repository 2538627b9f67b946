package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tranche/batch"
	"tranche/internal/app"
)

// etagOf names the state of an export's definition. The newest runs, which an export shows too, are not part of it: they
// change while nobody changes the export.
func etagOf(e batch.Export) string {
	return `"` + e.ID.String() + "-" + strconv.FormatInt(e.Revision, 10) + `"`
}

func setETag(c *gin.Context, e batch.Export) { c.Header("ETag", etagOf(e)) }

// precondition reads If-Match: any number of tags, weak or strong, or *. Without it, any state will do.
func precondition(c *gin.Context) (app.Precondition, error) {
	header := strings.TrimSpace(strings.Join(c.Request.Header.Values("If-Match"), ","))
	if header == "" || header == "*" {
		return nil, nil
	}
	var tags []string
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			return nil, refused(http.StatusBadRequest, typeInvalid, codeInvalid, "The header If-Match is malformed.")
		}
		tags = append(tags, tag)
	}
	id := strings.ToLower(c.Param("id"))
	return func(revision int64) bool {
		want := `"` + id + "-" + strconv.FormatInt(revision, 10) + `"`
		for _, tag := range tags {
			if tag == want {
				return true
			}
		}
		return false
	}, nil
}
