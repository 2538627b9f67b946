package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

// defaultActivity is how many entries are listed unless more are asked for.
const defaultActivity = 50

func activityCommand(env Env) *cobra.Command {
	var q client.ActivityQuery
	var limit int
	cmd := command(env, &cobra.Command{
		Use: "activity [EXPORT] [flags]", Short: "Show who did what, newest first: to an export, or in the project", Args: atMost(1),
		Example: "  tranche activity\n  tranche activity 'events by the hour' --action export.updated --after -7d",
	}, func(s *session, args []string) error { return listActivity(s, args, q, limit) })
	flags := cmd.Flags()
	flags.StringSliceVar(&q.Actions, "action", nil, "only this `ACTION`, such as export.updated; repeatable")
	flags.StringVar(&q.Actor, "actor", "", "only by this `ACTOR`: user, operator, temporal, system, the id of a user, or the beginning of a key")
	flags.StringVar(&q.After, "after", "", "since this `TIME`: ISO 8601, or before now as in -7d or -3h")
	flags.StringVar(&q.Before, "before", "", "until this `TIME`")
	flags.IntVar(&limit, "limit", defaultActivity, "show at most so many; 0 = all")
	actions := make([]string, len(batch.Actions))
	for i, a := range batch.Actions {
		actions[i] = string(a)
	}
	complete(cmd, "action", actions...)
	complete(cmd, "actor", "user", "operator", "temporal", "system")
	cmd.ValidArgsFunction = completeExports(env)
	return cmd
}

func listActivity(s *session, args []string, q client.ActivityQuery, limit int) error {
	zone := s.zone
	if len(args) == 1 {
		e, err := s.export(args[0])
		if err != nil {
			return err
		}
		q.Export, zone = &e.Value.ID, s.zoneFor(e.Value)
	}
	if zone == nil {
		zone = s.env.Zone // of a project there is none
	}
	entries, more, err := client.Collect(s.Activity(s.ctx, q), limit)
	if err != nil {
		return err
	}
	if done, err := s.machine(raws(entries)); done {
		return err
	}
	if len(entries) == 0 {
		s.say("Nothing was done.")
		return nil
	}
	names, err := s.exportsByID()
	if err != nil {
		return err
	}
	t := newTable("WHEN ("+zoneName(zone, s.env.Now())+")", "WHO", "ACTION", "EXPORT", "")
	for _, a := range values(entries) {
		t.add(a.CreatedAt.In(zone).Format(seconds), who(a.Actor), a.Action, names.of(a.BatchExportID), whatChanged(a))
	}
	if err := t.write(s.out, s.style); err != nil {
		return err
	}
	s.sayMore(more, limit)
	return nil
}

// who names an actor as far as anybody knows.
func who(a client.Actor) string {
	text := a.Kind
	if a.UserID != nil {
		text += fmt.Sprintf(" %d", *a.UserID)
	}
	if a.KeyPrefix != nil {
		text += " with " + *a.KeyPrefix + "…"
	}
	if a.Address != nil {
		text += " from " + *a.Address
	}
	return text
}

// exportsByID are the names of the exports that there are.
type exportsByID map[uuid.UUID]string

func (s *session) exportsByID() (exportsByID, error) {
	names := exportsByID{}
	for e, err := range s.Exports(s.ctx) {
		if err != nil {
			return nil, err
		}
		names[e.Value.ID] = e.Value.Name
	}
	return names, nil
}

// of is the name of an export. One that is deleted has none any more.
func (n exportsByID) of(id *uuid.UUID) string {
	if id == nil {
		return none
	}
	if name, ok := n[*id]; ok {
		return name
	}
	return id.String()
}

// whatChanged tells the fields of a change; those of a new export are many and tell little, as do those of what was deleted.
func whatChanged(a client.Activity) string {
	var parts []string
	if a.Note != nil {
		parts = append(parts, *a.Note)
	}
	if a.SubjectID != nil {
		parts = append(parts, a.SubjectID.String())
	}
	if a.Action == string(batch.ActExportCreated) || strings.HasSuffix(a.Action, ".deleted") {
		return strings.Join(parts, "; ")
	}
	made := strings.HasSuffix(a.Action, ".created") || strings.HasSuffix(a.Action, ".retried")
	for _, c := range a.Changes {
		before, after := compact(c.Before), compact(c.After)
		switch {
		case !made:
			parts = append(parts, fmt.Sprintf("%s: %s → %s", c.Field, before, after))
		case after != "null" && after != "false":
			parts = append(parts, fmt.Sprintf("%s: %s", c.Field, after))
		}
	}
	return strings.Join(parts, "; ")
}

func compact(text json.RawMessage) string {
	if len(text) == 0 {
		return "null"
	}
	return string(text)
}
