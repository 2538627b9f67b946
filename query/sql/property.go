package sql

import (
	"strconv"
	"strings"

	"tranche/query"
)

// Sources that keep JSON as a type of their own say so by the kind of a column.
const (
	KindJSONB = "jsonb"
	KindJSON  = "json"
)

// postgresProperty takes jsonb as it is; json and text are parsed.
func postgresProperty(column fragment, kind string, p query.Property) fragment {
	if kind != KindJSONB {
		// The JSON of a text may hold the escape of a NUL, which PostgreSQL cannot: it is left out.
		column = fill(`(CASE WHEN strpos(@1::text, '\u0000') = 0 THEN @1::json `+
			`ELSE regexp_replace(@1::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')::json END)`, column)
	}
	path := func(keys []string) fragment {
		return fragment{text: string(rune(mark)), values: []value{{bound: keys, as: "#::text[]"}}}
	}
	template := "(@1 #>> @2)"
	if p.Raw {
		template = "NULLIF((@1 #> @2)::text, 'null')"
	}
	found := fill(template, column, path(p.Path))
	return guarded(p, found, func(prefix []string) fragment {
		if kind == KindJSONB {
			return fill("jsonb_typeof(@1 #> @2) = 'object'", column, path(prefix))
		}
		return fill("json_typeof(@1 #> @2) = 'object'", column, path(prefix))
	})
}

func duckProperty(column fragment, _ string, p query.Property) fragment {
	pointer := func(keys []string) fragment {
		return fragment{text: string(rune(mark)), values: []value{{bound: jsonPointer(keys), as: "CAST(# AS VARCHAR)"}}}
	}
	template := "json_extract_string(@1, @2)"
	if p.Raw {
		template = "NULLIF(CAST(json_extract(@1, @2) AS VARCHAR), 'null')"
	}
	return guarded(p, fill(template, column, pointer(p.Path)), func(prefix []string) fragment {
		return fill("json_type(@1, @2) = 'OBJECT'", column, pointer(prefix))
	})
}

// jsonPointer is RFC 6901's. A key in it means itself, whatever characters it has.
func jsonPointer(keys []string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
	}
	return b.String()
}

// clickHouseProperty reads JSON that is kept as String. Its keys never index lists.
func clickHouseProperty(column fragment, _ string, p query.Property) fragment {
	args := []fragment{column}
	for _, key := range p.Path {
		args = append(args, fragment{text: string(rune(mark)), values: []value{{bound: clickHouseText(key, query.TypeString), as: "{#:String}"}}})
	}
	if p.Raw {
		return fill("nullIf(nullIf(JSONExtractRaw(@*), ''), 'null')", args...)
	}
	return fill("multiIf(isNull(@1), NULL, "+
		"JSONType(@2) = 'String', JSONExtractString(@2), JSONType(@2) = 'Null', NULL, nullIf(JSONExtractRaw(@2), ''))",
		column, fill("@*", args...))
}

// guarded adds, for every key that looks like a number, that it is a key of an object: some sources would take it for an
// index of a list.
func guarded(p query.Property, found fragment, isObject func(prefix []string) fragment) fragment {
	var conditions []fragment
	for i, key := range p.Path {
		if _, err := strconv.Atoi(key); err == nil || key == "-" {
			conditions = append(conditions, isObject(p.Path[:i]))
		}
	}
	if len(conditions) == 0 {
		return found
	}
	return fill("CASE WHEN @1 THEN @2 END", joined(" AND ", conditions), found)
}
