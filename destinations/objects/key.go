package objects

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"tranche/batch"
	"tranche/destinations"
)

// Keys names the objects of one interval.
type Keys struct {
	// Warning says that the prefix is not a template; empty = all is well.
	Warning string

	prefix    string
	interval  string // DIS-DIE
	extension string
	numbered  bool
}

// KeysOf returns the names for a run's interval.
func KeysOf(run destinations.Run, c Config) Keys {
	k := Keys{
		interval:  isoTime(run.Interval.Start) + "-" + isoTime(run.Interval.End),
		extension: c.Options().Extension(),
		numbered:  c.FileBytes() > 0,
	}
	var err error
	if k.prefix, err = expand(c.Prefix, variables(run)); err != nil {
		k.prefix = c.Prefix
		k.Warning = fmt.Sprintf("The prefix %q is used as it is: %v.", c.Prefix, err)
	}
	return k
}

// Object returns the key of file n. The number is part of it only when files have a largest size.
func (k Keys) Object(n int) string {
	if !k.numbered {
		return join(k.prefix, k.interval+"."+k.extension)
	}
	return join(k.prefix, fmt.Sprintf("%s-%d.%s", k.interval, n, k.extension))
}

// Manifest returns the key of the manifest.
func (k Keys) Manifest() string { return join(k.prefix, k.interval+"_manifest.json") }

// Beside returns the key of a file with the name where the interval's files are.
func (k Keys) Beside(name string) string { return join(k.prefix, name) }

// Legacy returns the names that exports had whose compressed Parquet files end in the codec's suffix.
func (k Keys) Legacy(c Config) Keys {
	k.extension = c.Options().LegacyExtension()
	return k
}

// join puts a name behind a prefix, as a relative path.
func join(prefix, name string) string {
	key := name
	if prefix != "" {
		key = strings.TrimSuffix(prefix, "/") + "/" + name
	}
	if path.IsAbs(key) {
		return strings.TrimLeft(path.Clean(key), "/")
	}
	return key
}

// isoTime writes an instant as file names have it, with its offset; an open start is START.
func isoTime(t time.Time) string {
	if t.IsZero() {
		return "START"
	}
	t = t.UTC()
	layout := "2006-01-02T15:04:05-07:00"
	if t.Nanosecond() != 0 {
		layout = "2006-01-02T15:04:05.000000-07:00"
	}
	return t.Format(layout)
}

func variables(run destinations.Run) map[string]string {
	end := run.Interval.End.UTC()
	return map[string]string{
		"year":                end.Format("2006"),
		"month":               end.Format("01"),
		"day":                 end.Format("02"),
		"hour":                end.Format("15"),
		"minute":              end.Format("04"),
		"second":              end.Format("05"),
		"data_interval_start": isoTime(run.Interval.Start),
		"data_interval_end":   isoTime(end),
		"table":               string(run.Model),
	}
}

var (
	errStrayBrace = errors.New("its braces do not match")
	errNoVariable = errors.New("there is no variable")
)

// expand replaces {name}; doubled braces stand for themselves.
func expand(template string, vars map[string]string) (string, error) {
	var b strings.Builder
	for rest := template; rest != ""; {
		brace := strings.IndexAny(rest, "{}")
		if brace < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:brace])
		rest = rest[brace:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			b.WriteByte(rest[0])
			rest = rest[2:]
			continue
		}
		name, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
		if rest[0] == '}' || !ok || strings.Contains(name, "{") {
			return "", errStrayBrace
		}
		value, ok := vars[name]
		if !ok {
			return "", fmt.Errorf("%w {%s}", errNoVariable, name)
		}
		b.WriteString(value)
		rest = after
	}
	return b.String(), nil
}

// maxFilesOfSplit is how many files one of several splits may have: their numbers share the keys of the interval.
const maxFilesOfSplit = 10_000

// number returns the number of a split's file.
func number(job destinations.Job, file int) (int, error) {
	if job.Splits <= 1 {
		return file, nil
	}
	if file >= maxFilesOfSplit {
		return 0, batch.Errorf(batch.CodeConfig, nil,
			"max_file_size_mb is too small: a part of the interval needs more than %d files", maxFilesOfSplit)
	}
	return job.Split*maxFilesOfSplit + file, nil
}
