package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tranche/internal/client"
	"tranche/internal/secret"
)

// Where commands find the API.
const (
	envURL     = "TRANCHE_URL"
	envKey     = "TRANCHE_API_KEY"
	envProject = "TRANCHE_PROJECT"
	envProfile = "TRANCHE_PROFILE"
	envConfig  = "TRANCHE_PROFILES"

	defaultURL     = "http://127.0.0.1:8000"
	defaultProject = 1
)

// A profile is one API with a key and a project, by name.
type profile struct {
	URL     string `yaml:"url"`
	Project int64  `yaml:"project"`
	// APIKey may be a ${VARIABLE}; APIKeyFile is a file that holds nothing but the key.
	APIKey     secret.String `yaml:"api_key"`
	APIKeyFile string        `yaml:"api_key_file"`
}

// A configFile is ~/.config/tranche/config.yaml.
type configFile struct {
	Profile  string             `yaml:"profile"` // the one that is used unless another is named
	Profiles map[string]profile `yaml:"profiles"`

	path string
	open bool // others may read it
}

// configPath is where the profiles are; empty = nowhere.
func configPath(getenv func(string) string) string {
	if path := getenv(envConfig); path != "" {
		return path
	}
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "tranche", "config.yaml")
}

// readConfig reads the profiles. A file that is missing has none, unless its name was given.
func readConfig(getenv func(string) string) (configFile, error) {
	c := configFile{path: configPath(getenv)}
	if c.path == "" {
		return c, nil
	}
	text, err := readFile(c.path)
	if errors.Is(err, fs.ErrNotExist) && getenv(envConfig) == "" {
		return c, nil
	}
	if err != nil {
		return c, usage(fmt.Errorf("read the profiles: %w", err))
	}
	if info, err := os.Stat(c.path); err == nil {
		c.open = info.Mode().Perm()&0o077 != 0
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return c, usagef("%s is not a file of profiles: %s", c.path, withoutValues(err))
	}
	return c, nil
}

// withoutValues tells what is wrong with a YAML text: the library's own words quote values, and those may be keys.
func withoutValues(err error) string {
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		var lines []string
		for _, text := range wrong.Errors {
			line, rest, _ := strings.Cut(text, ": ")
			if strings.HasPrefix(rest, "field ") || strings.HasPrefix(rest, "mapping key ") { // name no value
				line += ": " + strings.Replace(rest, "in type cli.", "in a ", 1)
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "; ")
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}

// A target is the API that a command talks to, and where that was said.
type target struct {
	url     *url.URL
	project int64
	key     secret.String
	// profile is the name of the profile; empty = none.
	profile           string
	urlFrom, keyFrom  string
	projectFrom, warn string
}

// choices are what flags say of the target.
type choices struct {
	profile string
	url     string
	project int64
}

// resolve finds the target. A flag goes before a profile that a flag names, that before the environment, and that before
// the profile that is used by default. A key goes with the URL that it stands beside, and to no other.
func resolve(c choices, getenv func(string) string) (target, error) {
	config, err := readConfig(getenv)
	if err != nil {
		return target{}, err
	}
	name := cmp.Or(c.profile, getenv(envProfile), config.Profile)
	var p profile
	if name != "" {
		var ok bool
		if p, ok = config.Profiles[name]; !ok {
			return target{}, usagef("there is no profile %q in %s", name, cmp.Or(config.path, "any file"))
		}
	}
	t := target{profile: name}
	named := c.profile != ""
	address := pick(&t.urlFrom, []source{
		{c.url, "--url"},
		{only(named, p.URL), "profile " + name},
		{only(!named, getenv(envURL)), envURL},
		{p.URL, "profile " + name},
		{defaultURL, "default"},
	})
	if t.url, err = client.ParseBase(address); err != nil {
		return t, usagef("the URL of the API (%s) %v", t.urlFrom, err)
	}
	project := pick(&t.projectFrom, []source{
		{number(c.project), "--project"},
		{only(named, number(p.Project)), "profile " + name},
		{only(!named, getenv(envProject)), envProject},
		{number(p.Project), "profile " + name},
		{number(defaultProject), "default"},
	})
	if t.project, err = strconv.ParseInt(project, 10, 64); err != nil || t.project < 1 {
		return t, usagef("the project (%s) must be a whole number from 1 on", t.projectFrom)
	}
	return t, t.findKey(named, p, config, getenv)
}

// findKey takes the key of the profile if its URL is used, or else that of the environment. Of a profile that nobody
// named the environment's key goes first.
func (t *target) findKey(named bool, p profile, config configFile, getenv func(string) string) error {
	fromEnv := secret.New(getenv(envKey))
	if own, err := client.ParseBase(p.URL); err == nil && *own == *t.url && (named || fromEnv.IsZero()) {
		key, err := p.key(getenv)
		if err != nil {
			return usagef("profile %s: %v", t.profile, err)
		}
		if !key.IsZero() {
			t.key, t.keyFrom = key, "profile "+t.profile
			if literal := !strings.HasPrefix(p.APIKey.Reveal(), "${") && !p.APIKey.IsZero(); literal && config.open {
				t.warn = "others can read the key in " + config.path + ": chmod 600 it"
			}
			return nil
		}
	}
	if !fromEnv.IsZero() {
		t.key, t.keyFrom = fromEnv, envKey
	}
	return nil
}

// key is the profile's key, wherever it lies.
func (p profile) key(getenv func(string) string) (secret.String, error) {
	if p.APIKeyFile != "" {
		path := p.APIKeyFile
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			path = filepath.Join(getenv("HOME"), rest)
		}
		text, err := readFile(path)
		if err != nil {
			return secret.String{}, fmt.Errorf("read the key: %w", err)
		}
		return secret.New(strings.TrimSpace(string(text))), nil
	}
	text := p.APIKey.Reveal()
	if name, ok := strings.CutPrefix(text, "${"); ok && strings.HasSuffix(name, "}") {
		name = strings.TrimSuffix(name, "}")
		if getenv(name) == "" {
			return secret.String{}, fmt.Errorf("the variable %s of its key is not set", name)
		}
		return secret.New(getenv(name)), nil
	}
	return p.APIKey, nil
}

// A source is a place where a value may be said.
type source struct{ value, name string }

// pick returns the first value that was said, and says where.
func pick(from *string, sources []source) string {
	for _, s := range sources {
		if s.value != "" {
			*from = s.name
			return s.value
		}
	}
	return ""
}

func only(when bool, text string) string {
	if !when {
		return ""
	}
	return text
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
