package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

func notificationsCommand(env Env) *cobra.Command {
	cmd := noun("notifications", "Have somebody told when an export fails, recovers, is late",
		listNotificationsCommand(env), getNotificationCommand(env), createNotificationCommand(env), updateNotificationCommand(env),
		deleteNotificationCommand(env), testNotificationCommand(env), messagesCommand(env))
	cmd.Aliases = []string{"notification"}
	cmd.Long = "Have somebody told of events, by a signed webhook or in Slack: of one export with --export, otherwise of all exports of the project.\n\n" +
		"NOTIFICATION is the id of a notification or its name, if no other has it."
	return cmd
}

// A noticed is whose notifications a command is about: of an export, or of all of the project.
type noticed struct {
	export string
}

func (n *noticed) add(env Env, cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.export, "export", "", "those of this `EXPORT`; empty = those of all exports of the project")
	exports := completeExports(env)
	_ = cmd.RegisterFlagCompletionFunc("export", func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return exports(cmd, nil, text)
	}) // it fails for flags that do not exist
}

// of finds the export that was named; nil = none was.
func (n noticed) of(s *session) (id *uuid.UUID, zone *time.Location, err error) {
	zone = s.zone
	if n.export != "" {
		e, err := s.export(n.export)
		if err != nil {
			return nil, nil, err
		}
		id, zone = &e.Value.ID, s.zoneFor(e.Value)
	}
	if zone == nil {
		zone = s.env.Zone // of a project there is none
	}
	return id, zone, nil
}

// whose says whom the notifications are of.
func (n noticed) whose(s *session) string {
	if n.export != "" {
		return fmt.Sprintf("%q", line(n.export))
	}
	return fmt.Sprintf("all exports of project %d", s.target.project)
}

// notification finds a notification by its id or its name.
func (s *session) notification(n noticed, export *uuid.UUID, name string) (client.Body[client.Notification], error) {
	all, err := s.Notifications(s.ctx, export)
	if err != nil {
		return client.Body[client.Notification]{}, err
	}
	id, _ := uuid.Parse(name) // nobody's, if it is a name
	found := slices.DeleteFunc(all, func(b client.Body[client.Notification]) bool { return b.Value.ID != id && b.Value.Name != name })
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		hint := ""
		if n.export == "" {
			hint = "\n  One of a single export: name that with --export"
		}
		return client.Body[client.Notification]{}, exitf(ExitNotFound, "there is no notification %q of %s%s", line(name), n.whose(s), hint)
	}
	var ids []uuid.UUID
	for _, b := range found {
		ids = append(ids, b.Value.ID)
	}
	return client.Body[client.Notification]{}, usagef("%d notifications are named %q: name one by its id: %s", len(found), line(name), listed(ids))
}

// completeNotifications offers the names of notifications.
func completeNotifications(env Env) completer {
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		return completing(env, func(s *session, args []string) []string {
			var n noticed
			n.export, _ = cmd.Flags().GetString("export") // every one of these commands has it
			export, _, err := n.of(s)
			if err != nil || len(args) > 0 {
				return nil
			}
			var names []string
			all, _ := s.Notifications(s.ctx, export) // none are offered after an error
			for _, b := range values(all) {
				names = append(names, cobra.CompletionWithDesc(line(b.Name), b.Kind+" to "+line(b.URL)))
			}
			return names
		})(cmd, args, text)
	}
}

// aboutNotification makes a command that does something with one notification.
func aboutNotification(env Env, cmd *cobra.Command, do func(s *session, n noticed, of *uuid.UUID, found client.Body[client.Notification]) error) *cobra.Command {
	var n noticed
	cmd.Args = exactly(1)
	cmd = command(env, cmd, func(s *session, args []string) error {
		export, _, err := n.of(s)
		if err != nil {
			return err
		}
		found, err := s.notification(n, export, args[0])
		if err != nil {
			return err
		}
		return do(s, n, export, found)
	})
	n.add(env, cmd)
	cmd.ValidArgsFunction = completeNotifications(env)
	return cmd
}

func listNotificationsCommand(env Env) *cobra.Command {
	var n noticed
	cmd := command(env, &cobra.Command{
		Use: "list [flags]", Short: "List who is told of what", Aliases: []string{"ls"},
		Example: "  tranche notifications list\n  tranche notifications list --export 'events by the hour'",
	}, func(s *session, _ []string) error { return listNotifications(s, n) })
	n.add(env, cmd)
	return cmd
}

func listNotifications(s *session, n noticed) error {
	export, _, err := n.of(s)
	if err != nil {
		return err
	}
	all, err := s.Notifications(s.ctx, export)
	if err != nil {
		return err
	}
	if done, err := s.machine(raws(all)); done {
		return err
	}
	if len(all) == 0 {
		s.say("Nobody is told of events of %s.", n.whose(s))
		return nil
	}
	t := newTable("NAME", "KIND", "TO", "STATE", "EVENTS", "ID")
	for _, b := range values(all) {
		t.add(b.Name, b.Kind, b.URL, stateOfNotification(b), eventsOf(b), b.ID)
	}
	return t.write(s.out, s.style)
}

func stateOfNotification(n client.Notification) cell {
	if n.Enabled {
		return cell{"on", good}
	}
	return cell{"off", faint}
}

func eventsOf(n client.Notification) string {
	if len(n.Events) == len(batch.Events) {
		return "all"
	}
	return strings.Join(n.Events, ", ")
}

func getNotificationCommand(env Env) *cobra.Command {
	return aboutNotification(env, &cobra.Command{
		Use: "get NOTIFICATION [flags]", Short: "Show a notification",
		Example: "  tranche notifications get 'On call'",
	}, func(s *session, _ noticed, _ *uuid.UUID, found client.Body[client.Notification]) error {
		if done, err := s.machine(found.Raw); done {
			return err
		}
		return showNotification(s, found.Value)
	})
}

func showNotification(s *session, n client.Notification) error {
	zone := s.zone
	if zone == nil {
		zone = s.env.Zone
	}
	var f facts
	f.add("Name", n.Name)
	f.add("Id", n.ID)
	f.add("Kind", n.Kind)
	f.add("To", n.URL)
	f.add("State", stateOfNotification(n))
	f.add("Events", eventsOf(n))
	if n.LateAfterMinutes != nil {
		f.add("Late after", span(time.Duration(*n.LateAfterMinutes)*time.Minute))
	}
	if n.Secret != nil {
		f.add("Secret", *n.Secret+" (keep it: it is not shown again)")
	}
	if n.OldSecretUntil != nil {
		f.add("Old secret", "signs too until "+instant(*n.OldSecretUntil, zone))
	}
	f.add("Created", instant(n.CreatedAt, zone))
	f.add("Changed", instant(n.LastUpdatedAt, zone))
	f.add("Times in", zoneName(zone, s.env.Now()))
	return f.write(s.out, s.style)
}

// noticeOptions are the flags that say how a notification is to be.
type noticeOptions struct {
	to, toFile, secretFile string
	lateAfter              time.Duration
	draft                  client.NotificationDraft
}

func (o *noticeOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.to, "to", "", "post to this `URL`; with many receivers whoever knows it may post: others on this machine can see flags")
	flags.StringVar(&o.toFile, "to-file", "", "the URL is in this `FILE`; - is standard input")
	flags.StringSliceVar(&o.draft.Events, "event", nil, "tell of this `EVENT`, such as failed; repeatable")
	flags.StringVar(&o.secretFile, "secret-file", "", "sign webhooks with the secret in this `FILE`: whsec_ and base64")
	flags.DurationVar(&o.lateAfter, "late-after", 0, "an interval is late so long after its end, such as 45m or 3h; 0 = by its length")
	events := make([]string, len(batch.Events))
	for i, e := range batch.Events {
		events[i] = string(e)
	}
	complete(cmd, "event", events...)
}

// settled reads what lies in files.
func (o *noticeOptions) settled(s *session) (client.NotificationDraft, error) {
	d := o.draft
	if o.to != "" && o.toFile != "" {
		return d, usagef("--to and --to-file are two ways to say the same")
	}
	if o.lateAfter < 0 || o.lateAfter%time.Minute != 0 {
		return d, usagef("--late-after is in whole minutes, such as 45m or 3h")
	}
	d.URL, d.LateAfterMinutes = o.to, int64(o.lateAfter/time.Minute)
	for _, f := range []struct {
		path string
		into *string
	}{{o.toFile, &d.URL}, {o.secretFile, &d.Secret}} {
		if f.path == "" {
			continue
		}
		text, err := s.readText(f.path)
		if err != nil {
			return d, usage(err)
		}
		*f.into = text
	}
	return d, nil
}

func createNotificationCommand(env Env) *cobra.Command {
	var n noticed
	var o noticeOptions
	off := false
	cmd := command(env, &cobra.Command{
		Use: "create NAME --to URL [flags]", Short: "Have somebody told of events", Args: exactly(1),
		Long: "Have somebody told of events. The secret with which webhooks are signed is printed once, and never shown again.",
		Example: "  tranche notifications create 'On call' --to https://example.com/hooks/tranche --event failed,recovered,late\n" +
			"  tranche notifications create team --kind slack --to-file slack-url.txt --export 'events by the hour'",
	}, func(s *session, args []string) error {
		o.draft.Name = args[0]
		return createNotification(s, n, o, off)
	})
	n.add(env, cmd)
	o.add(cmd)
	cmd.Flags().StringVar(&o.draft.Kind, "kind", string(batch.KindWebhook), "webhook, or slack for what Slack's incoming webhooks take")
	cmd.Flags().BoolVar(&off, "off", false, "send nothing until it is turned on")
	complete(cmd, "kind", string(batch.KindWebhook), string(batch.KindSlack))
	return cmd
}

func createNotification(s *session, n noticed, o noticeOptions, off bool) error {
	draft, err := o.settled(s)
	if err != nil {
		return err
	}
	if draft.URL == "" {
		return usagef("--to or --to-file says where to")
	}
	if off {
		on := false
		draft.Enabled = &on
	}
	export, _, err := n.of(s)
	if err != nil {
		return err
	}
	made, err := s.CreateNotification(s.ctx, export, draft)
	if err != nil {
		return err
	}
	if done, err := s.machine(made.Raw); done {
		return err
	}
	if err := showNotification(s, made.Value); err != nil {
		return err
	}
	s.say("Try it: tranche notifications test %s%s", quoted(line(made.Value.Name)), n.flag())
	return nil
}

// flag is what names the same export in another command.
func (n noticed) flag() string {
	if n.export == "" {
		return ""
	}
	return " --export " + quoted(line(n.export))
}

func updateNotificationCommand(env Env) *cobra.Command {
	var o noticeOptions
	var on, off bool
	cmd := aboutNotification(env, &cobra.Command{
		Use: "update NOTIFICATION [flags]", Short: "Change a notification: what no flag names stays",
		Example: "  tranche notifications update 'On call' --event failed,late\n  tranche notifications update 'On call' --off\n" +
			"  tranche notifications update 'On call' --rotate-secret",
	}, func(s *session, _ noticed, export *uuid.UUID, found client.Body[client.Notification]) error {
		return updateNotification(s, export, found, o, on, off)
	})
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.draft.Name, "name", "", "give it this `NAME`")
	flags.BoolVar(&on, "on", false, "send again")
	flags.BoolVar(&off, "off", false, "send nothing, what is on its way neither")
	flags.BoolVar(&o.draft.RotateSecret, "rotate-secret", false, "make another secret, which is printed once; the old one signs too for a while")
	flags.BoolVar(&o.draft.RevokeOldSecret, "revoke-old-secret", false, "have the old secret sign no more")
	return cmd
}

func updateNotification(s *session, export *uuid.UUID, found client.Body[client.Notification], o noticeOptions, on, off bool) error {
	draft, err := o.settled(s)
	if err != nil {
		return err
	}
	if on && off {
		return usagef("--on and --off contradict each other")
	}
	if on || off {
		draft.Enabled = &on
	}
	if reflect.DeepEqual(draft, client.NotificationDraft{}) {
		return usagef("name what is to change: --name, --to, --to-file, --event, --late-after, --on, --off, --secret-file, --rotate-secret, --revoke-old-secret")
	}
	changed, err := s.ChangeNotification(s.ctx, export, found.Value.ID, draft)
	if err != nil {
		return err
	}
	if done, err := s.machine(changed.Raw); done {
		return err
	}
	return showNotification(s, changed.Value)
}

func deleteNotificationCommand(env Env) *cobra.Command {
	var yes bool
	cmd := aboutNotification(env, &cobra.Command{
		Use: "delete NOTIFICATION [flags]", Short: "Have somebody told no more", Aliases: []string{"rm"},
		Example: "  tranche notifications delete 'On call' --yes",
	}, func(s *session, n noticed, export *uuid.UUID, found client.Body[client.Notification]) error {
		name := line(found.Value.Name)
		if err := s.confirm(yes, fmt.Sprintf("Delete the notification %q of %s at %s?", name, n.whose(s), s.target.url)); err != nil {
			return err
		}
		if err := s.DeleteNotification(s.ctx, export, found.Value.ID); err != nil {
			return err
		}
		if s.format == tables {
			s.say("Deleted %q. Nothing is sent to %s any more.", name, found.Value.URL)
		}
		return nil
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
