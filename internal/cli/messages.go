package cli

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tranche/internal/client"
)

func testNotificationCommand(env Env) *cobra.Command {
	return aboutNotification(env, &cobra.Command{
		Use: "test NOTIFICATION [flags]", Short: "Send a test now; exit with 1 if the receiver does not take it",
		Example: "  tranche notifications test 'On call'",
	}, func(s *session, _ noticed, export *uuid.UUID, found client.Body[client.Notification]) error {
		tried, err := s.TestNotification(s.ctx, export, found.Value.ID)
		if err != nil {
			return err
		}
		if done, err := s.machine(tried.Raw); err != nil {
			return err
		} else if !done && tried.Value.Delivered {
			s.say("%s took it: %s", found.Value.URL, answerOf(tried.Value))
		}
		if !tried.Value.Delivered {
			return exitf(ExitFailure, "%s did not take it: %s", line(found.Value.URL), answerOf(tried.Value))
		}
		return nil
	})
}

// answerOf tells how a try went.
func answerOf(a client.Attempt) string {
	text := "no answer"
	if a.StatusCode != nil {
		text = fmt.Sprintf("status %d", *a.StatusCode)
	}
	text += " after " + span(time.Duration(a.DurationMS)*time.Millisecond)
	if a.Error != nil {
		text += ": " + line(*a.Error)
	}
	return text
}

func messagesCommand(env Env) *cobra.Command {
	var limit int
	cmd := aboutNotification(env, &cobra.Command{
		Use: "log NOTIFICATION [flags]", Short: "Show what was sent, newest first, and how that went", Aliases: []string{"deliveries"},
		Example: "  tranche notifications log 'On call'\n  tranche notifications log 'On call' -o json | jq '.[] | select(.status == \"failed\")'",
	}, func(s *session, n noticed, export *uuid.UUID, found client.Body[client.Notification]) error {
		messages, more, err := client.Collect(s.Messages(s.ctx, export, found.Value.ID), limit)
		if err != nil {
			return err
		}
		if done, err := s.machine(raws(messages)); done {
			return err
		}
		if len(messages) == 0 {
			s.say("Nothing was sent to %q yet.", line(found.Value.Name))
			return nil
		}
		_, zone, err := n.of(s)
		if err != nil {
			return err
		}
		return messageTable(s, values(messages), zone, more, limit)
	})
	cmd.Flags().IntVar(&limit, "limit", defaultRuns, "show at most so many; 0 = all")
	return cmd
}

func messageTable(s *session, messages []client.Message, zone *time.Location, more bool, limit int) error {
	names, err := s.exportsByID()
	if err != nil {
		return err
	}
	t := newTable("WHEN ("+zoneName(zone, s.env.Now())+")", "EVENT", "STATUS", ">TRIES", "EXPORT", "")
	for _, m := range messages {
		last := ""
		if n := len(m.Attempts); n > 0 {
			last = answerOf(m.Attempts[n-1])
		}
		t.add(m.CreatedAt.In(zone).Format(seconds), m.Event, cell{m.Status, toneOf(m.Status)}, len(m.Attempts), names.of(m.BatchExportID), last)
	}
	if err := t.write(s.out, s.style); err != nil {
		return err
	}
	s.sayMore(more, limit)
	return nil
}
