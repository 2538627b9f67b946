package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func profilesCommand(env Env) *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use: "profiles [flags]", Short: "Show which API commands talk to, and the profiles there are", Args: atMost(0),
		Long: "Show which API commands talk to and who said so, and the profiles of the configuration file. Keys are never shown.",
		RunE: func(*cobra.Command, []string) error { return showProfiles(env, c) }, DisableFlagsInUseLine: true,
		Example: "  tranche profiles\n  tranche profiles --profile production",
	}
	c.add(cmd)
	return cmd
}

func showProfiles(env Env, c common) error {
	st := styleOf(env, c.noColor)
	config, err := readConfig(env.Getenv)
	if err != nil {
		return err
	}
	t, err := resolve(c.choices, env.Getenv)
	if err != nil {
		return err
	}
	var f facts
	f.add("API", fmt.Sprintf("%s (%s)", t.url, t.urlFrom))
	f.add("Project", fmt.Sprintf("%d (%s)", t.project, t.projectFrom))
	key := cell{"none: set TRANCHE_API_KEY, or api_key in a profile", bad}
	if !t.key.IsZero() {
		key = cell{"set (" + t.keyFrom + ")", neutral}
	}
	f.add("Key", key)
	if t.warn != "" {
		f.add("Warning", cell{t.warn, bad})
	}
	f.add("File", config.path)
	if err := f.write(env.Out, st); err != nil || len(config.Profiles) == 0 {
		return err
	}
	fmt.Fprintln(env.Out)
	profiles := newTable("PROFILE", "API", ">PROJECT", "KEY")
	for _, name := range sortedKeys(config.Profiles) {
		p := config.Profiles[name]
		key := "the environment's"
		switch {
		case p.APIKeyFile != "":
			key = p.APIKeyFile
		case !p.APIKey.IsZero():
			key = "in the profile"
		}
		if name == t.profile {
			name += " *"
		}
		profiles.add(name, p.URL, p.Project, key)
	}
	return profiles.write(env.Out, st)
}
