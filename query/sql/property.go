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

// Regular expressions of PostgreSQL's for a backslash that is not escaped itself, and for what stands behind one in the
// escapes of surrogates.
const (
	escaped = `(?<!\\)((?:\\\\)*)\\`
	high    = `u[dD][89abAB][0-9a-fA-F]{2}`
	low     = `u[dD][c-fC-F][0-9a-fA-F]{2}`
)

// postgresProperty takes jsonb as it is; json and text are parsed.
func postgresProperty(column fragment, kind string, p query.Property) fragment {
	if kind != KindJSONB {
		// The JSON of a text may hold escapes that PostgreSQL refuses: a NUL is left out, and half of a pair of surrogates, which
		// is what programs leave of an emoji that they cut, is replaced.
		column = fill(`(CASE WHEN strpos(@1::text, '\u0000') = 0 AND strpos(@1::text, '\ud') = 0 AND strpos(@1::text, '\uD') = 0 THEN @1::json `+
			`ELSE regexp_replace(regexp_replace(regexp_replace(@1::text, '`+escaped+`u0000', '\1', 'g'), `+
			`'`+escaped+high+`(?!\\`+low+`)', '\1\\ufffd', 'g'), `+
			`'(?<!(?<!\\)(?:\\\\)*\\`+high+`)`+escaped+low+`', '\1\\ufffd', 'g')::json END)`, column)
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

// Half of a pair of surrogates is no JSON to DuckDB and to ClickHouse. Their regular expressions cannot look around: escaped
// backslashes and whole pairs are marked with a character that JSON cannot hold, and what is left is replaced.
const (
	wholes  = `(\\)(?:(\\)|(u[dD][89abAB][0-9a-fA-F]{2}\\)(u[dD][c-fC-F][0-9a-fA-F]{2}))`
	marked  = "\\1\x01\\2\\3\x01\\4"
	halves  = `\\u[dD][89a-fA-F][0-9a-fA-F]{2}`
	instead = `\\ufffd`
)

// duckText is JSON that DuckDB can read.
const duckText = `(CASE WHEN contains(@1, '\ud') OR contains(@1, '\uD') THEN replace(regexp_replace(regexp_replace(@1, '` + wholes + `', '` + marked + `', 'g'), '` +
	halves + `', '` + instead + `', 'g'), chr(1), '') ELSE @1 END)`

func duckProperty(column fragment, _ string, p query.Property) fragment {
	column = fill(duckText, column)
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

// clickHouseJSONText is JSON that ClickHouse can read. Lambdas name values, so that they are computed and written once.
func clickHouseJSONText() string {
	quoted := func(text string) string { return literal(strings.ReplaceAll(text, `\`, `\\`)) }
	return "arrayMap(x -> if(position(x, " + quoted(`\ud`) + ") = 0 AND position(x, " + quoted(`\uD`) + ") = 0, x, " +
		"replaceAll(replaceRegexpAll(replaceRegexpAll(x, " + quoted(wholes) + ", " + quoted(marked) + "), " + quoted(halves) + ", " + quoted(instead) + "), char(1), '')), [@1])[1]"
}

// clickHouseProperty reads JSON that is text. Its keys never index lists.
func clickHouseProperty(text fragment, _ string, p query.Property) fragment {
	text = fill(clickHouseJSONText(), text)
	args := []fragment{textFragment("x")}
	for _, key := range p.Path {
		args = append(args, fragment{text: string(rune(mark)), values: []value{{bound: clickHouseText(key, query.TypeString), as: "{#:String}"}}})
	}
	found := "multiIf(isNull(x), NULL, JSONType(@1) = 'String', JSONExtractString(@1), JSONType(@1) = 'Null', NULL, nullIf(JSONExtractRaw(@1), ''))"
	if p.Raw {
		found = "nullIf(nullIf(JSONExtractRaw(@1), ''), 'null')"
	}
	return fill("arrayMap(x -> "+found+", [@2])[1]", fill("@*", args...), text)
}

// guarded adds, for every key that looks like a number, that it is a key of an object: some sources would take it for an
// index of a list.
func guarded(p query.Property, found fragment, isObject func(prefix []string) fragment) fragment {
	var conditions []fragment
	for i, key := range p.Path {
		// PostgreSQL passes over white space before a number.
		if _, err := strconv.Atoi(strings.TrimLeft(key, " \t\n\v\f\r")); err == nil || key == "-" {
			conditions = append(conditions, isObject(p.Path[:i]))
		}
	}
	if len(conditions) == 0 {
		return found
	}
	return fill("CASE WHEN @1 THEN @2 END", joined(" AND ", conditions), found)
}
