package clickhouse

import (
	"fmt"
	"os"
	"regexp"

	"tranche/dev/clickhouse/engine"
)

// withData finds the statement, the format and the data of an INSERT that brings its data along.
var withData = regexp.MustCompile(`(?is)\A(\s*INSERT\s+INTO\s+.*?)\sFORMAT\s+([A-Za-z0-9]+)[ \t]*\r?\n`)

// insert runs an INSERT. Data go by way of a file: the engine takes statements for text, and ends data that are not.
func insert(c *engine.Conn, text []byte) (err error) {
	found := withData.FindSubmatchIndex(text)
	if found == nil {
		_, err := c.Query(text, "Null")
		return err
	}
	file, err := os.CreateTemp("", "insert-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(text[found[1]:]); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	_, err = c.Query(fmt.Appendf(nil, "%s FROM INFILE %s FORMAT %s", text[found[2]:found[3]], quoted(file.Name()), text[found[4]:found[5]]), "Null")
	return err
}
