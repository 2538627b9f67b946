package objects

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
	"tranche/destinations"
)

// published is the schema that readers of manifests are given.
func published(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open("../../docs/manifest.schema.json")
	require.NoError(t, err)
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("manifest.schema.json", document))
	schema, err := c.Compile("manifest.schema.json")
	require.NoError(t, err)
	return schema
}

// anyManifest is one that a run could write.
func anyManifest(t *rapid.T) Manifest {
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(0, 4_000_000_000_000_000).Draw(t, "µs")).UTC()
	})
	run := runOf(instant.Draw(t, "start"), instant.Draw(t, "end"))
	if rapid.Bool().Draw(t, "open") {
		run.Interval.Start = time.Time{}
	}
	run.ID, run.Generation = uuid.New(), rapid.IntRange(1, 9).Draw(t, "generation")
	receipt := destinations.Receipt{Schema: []destinations.Column{{Name: "uuid", Type: "string"}, {Name: rapid.StringN(1, 9, -1).Draw(t, "column"), Type: "json"}}}
	for n := range rapid.IntRange(1, 5).Draw(t, "files") {
		o := batch.Object{
			Key: string(rune('a'+n)) + rapid.String().Draw(t, "key"), Rows: rapid.Int64Range(1, 1e12).Draw(t, "rows"),
			Bytes: rapid.Int64Range(1, 1e15).Draw(t, "bytes"), SHA256: rapid.StringMatching("[0-9a-f]{64}").Draw(t, "sha256"),
		}
		if rapid.Bool().Draw(t, "bounds") {
			o.MinTimestamp, o.MaxTimestamp = ptr(instant.Draw(t, "min")), ptr(instant.Draw(t, "max"))
		}
		receipt.Objects = append(receipt.Objects, destinations.StagedObject{Object: o})
	}
	return ManifestOf(run, []destinations.Receipt{receipt})
}

func decoded(t require.TestingT, m Manifest) map[string]any {
	body, err := m.Encode()
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err)
	return value.(map[string]any)
}

func TestEveryManifestIsAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	schema := published(t)
	rapid.Check(t, func(t *rapid.T) {
		require.NoError(t, schema.Validate(decoded(t, anyManifest(t))))
	})
}

func TestTheSchemaKnowsEveryFieldAndNeedsIt(t *testing.T) {
	t.Parallel()
	schema := published(t)
	m := decoded(t, rapid.Custom(anyManifest).Example(1))
	require.NoError(t, schema.Validate(m))
	parts := map[string]map[string]any{
		"manifest": m, "object": m["objects"].([]any)[0].(map[string]any), "column": m["schema"].([]any)[0].(map[string]any),
	}
	for name, part := range parts {
		for field, value := range part {
			delete(part, field)
			require.Error(t, schema.Validate(m), "%s without %s", name, field)
			part[field] = []any{json.Number("-1")}
			require.Error(t, schema.Validate(m), "%s with another %s", name, field)
			part[field] = value
		}
		part["other"] = true
		require.Error(t, schema.Validate(m), "%s with one field more", name)
		delete(part, "other")
	}
	require.NoError(t, schema.Validate(m))
}
