package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

// A session is one execution of a command: whom it talks to, and how it shows what it learns.
type session struct {
	*client.Client
	ctx    context.Context // of the one execution that the session is
	env    Env
	out    io.Writer
	style  style
	format format
	zone   *time.Location // that was asked for; nil = the export's
	target target
}

// common are the flags that every command has.
type common struct {
	choices
	format  string
	zone    string
	noColor bool
}

func (c *common) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.profile, "profile", "", "use this `PROFILE` of the configuration file")
	flags.StringVar(&c.url, "url", "", "`URL` of the API, in place of the profile's or TRANCHE_URL")
	flags.Int64Var(&c.project, "project", 0, "`ID` of the project, in place of the profile's or TRANCHE_PROJECT")
	flags.StringVarP(&c.format, "output", "o", "table", "show results in this `FORMAT`: table, json or yaml; the last two are exactly what the API says")
	flags.StringVar(&c.zone, "zone", "", "show times in this `ZONE`: local, UTC or a name such as Europe/Berlin; empty = the export's")
	flags.BoolVar(&c.noColor, "no-color", false, "no colors, as with NO_COLOR")
	complete(cmd, "output", "table", "json", "yaml")
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it fails for flags that do not exist
}

// A job is what a command does with its arguments.
type job func(s *session, args []string) error

// command makes a command that opens a session.
func command(env Env, cmd *cobra.Command, do job) *cobra.Command {
	var c common
	c.add(cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v: %s", err, cmd.UseLine())
	})
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := open(cmd.Context(), env, c)
		if err != nil {
			return err
		}
		if s.target.warn != "" {
			s.warn("%s", s.target.warn)
		}
		return do(s, args)
	}
	if cmd.Args == nil {
		cmd.Args = atMost(0)
	}
	return cmd
}

// open makes the session that flags, profile and environment ask for.
func open(ctx context.Context, env Env, c common) (*session, error) {
	s := &session{ctx: ctx, env: env, out: env.Out}
	var err error
	if s.format, err = formatOf(c.format); err != nil {
		return nil, err
	}
	if s.zone, err = zoneOf(c.zone, env.Zone); err != nil {
		return nil, err
	}
	s.style = styleOf(env, c.noColor)
	if s.target, err = resolve(c.choices, env.Getenv); err != nil {
		return nil, err
	}
	if s.target.key.IsZero() {
		return nil, exitf(ExitAuth, "there is no API key for %s\n  Set TRANCHE_API_KEY, or give the profile an api_key: see \"tranche help environment\".",
			s.target.url)
	}
	s.Client = &client.Client{Base: s.target.url, Project: s.target.project, Key: s.target.key, Agent: "tranche/" + env.Version}
	return s, nil
}

// warn tells something beside the result.
func (s *session) warn(format string, args ...any) {
	fmt.Fprintf(s.env.Err, "tranche: %s\n", plain(fmt.Sprintf(format, args...)))
}

// say tells a person what was done; scripts get the body instead.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%s\n", plain(fmt.Sprintf(format, args...)))
}

// sayMore tells that a list was cut at its limit.
func (s *session) sayMore(more bool, limit int) {
	if more {
		fmt.Fprintln(s.out, s.style.paint(faint, fmt.Sprintf("There are more: --limit %d, or 0 for all.", 4*limit)))
	}
}

// export finds an export by its id or its name.
func (s *session) export(name string) (client.Body[client.Export], error) {
	if id, err := uuid.Parse(name); err == nil {
		body, err := s.Export(s.ctx, id)
		return body, missing(err, "there is no export with the id %s in project %d", name, s.target.project)
	}
	found, err := s.exportsNamed(name)
	if err != nil {
		return client.Body[client.Export]{}, err
	}
	switch len(found) {
	case 0:
		return client.Body[client.Export]{}, exitf(ExitNotFound, "there is no export named %q in project %d", name, s.target.project)
	case 1:
		return s.Export(s.ctx, found[0]) // for its ETag
	}
	return client.Body[client.Export]{}, usagef("%d exports are named %q: name one by its id: %s", len(found), name, listed(found))
}

// exportsNamed returns the ids of all exports with the name.
func (s *session) exportsNamed(name string) ([]uuid.UUID, error) {
	var found []uuid.UUID
	for e, err := range s.Exports(s.ctx) {
		if err != nil {
			return nil, err
		}
		if e.Value.Name == name {
			found = append(found, e.Value.ID)
		}
	}
	return found, nil
}

func listed(ids []uuid.UUID) string {
	text := ""
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += id.String()
	}
	return text
}

// missing gives what is not found a better name than the API has for it.
func missing(err error, format string, args ...any) error {
	if err != nil && ExitCode(err) == ExitNotFound {
		return exitf(ExitNotFound, format, args...)
	}
	return err
}

// latest stands for the newest run or backfill in place of its id.
const latest = "latest"

// run finds a run of an export by its id, or its newest one.
func (s *session) run(export client.Export, text string) (client.Body[client.Run], error) {
	if text == latest {
		for r, err := range s.Runs(s.ctx, export.ID, client.RunQuery{}) {
			return r, err
		}
		return client.Body[client.Run]{}, exitf(ExitNotFound, "%q has no runs yet", export.Name)
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return client.Body[client.Run]{}, usagef("%q is no id of a run; \"latest\" is the newest one", text)
	}
	r, err := s.Run(s.ctx, export.ID, id)
	return r, missing(err, "%q has no run with the id %s", export.Name, id)
}

// backfill finds a backfill of an export by its id, or its newest one.
func (s *session) backfill(export client.Export, text string) (client.Body[client.Backfill], error) {
	if text == latest {
		for b, err := range s.Backfills(s.ctx, export.ID) {
			return b, err
		}
		return client.Body[client.Backfill]{}, exitf(ExitNotFound, "%q has no backfills yet", export.Name)
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return client.Body[client.Backfill]{}, usagef("%q is no id of a backfill; \"latest\" is the newest one", text)
	}
	b, err := s.Backfill(s.ctx, export.ID, id)
	return b, missing(err, "%q has no backfill with the id %s", export.Name, id)
}

// zoneFor is the zone in which an export's times are shown.
func (s *session) zoneFor(e client.Export) *time.Location {
	if s.zone != nil {
		return s.zone
	}
	return zoneOfExport(e)
}

// zoneOfExport is the export's own zone. One that this machine does not know is shown as UTC, which the table says.
func zoneOfExport(e client.Export) *time.Location {
	zone, err := batch.LoadLocation(e.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// calendarOf is the calendar of an export.
func calendarOf(e client.Export) (batch.Calendar, error) {
	frequency, ok := batch.ParseFrequency(e.Interval)
	if !ok {
		return batch.Calendar{}, fmt.Errorf("this client does not know the interval %q", e.Interval)
	}
	day, hour := e.OffsetDay, e.OffsetHour
	if !frequency.InLocalTime() {
		day, hour = nil, nil
	}
	return batch.NewCalendar(frequency, e.Timezone, day, hour)
}
