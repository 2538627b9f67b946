package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tranche/batch"
	"tranche/internal/client"
)

func previewExportCommand(env Env) *cobra.Command {
	var files []string
	var start, end string
	cmd := command(env, &cobra.Command{
		Use: "preview -f FILE [flags]", Short: "Tell what a definition would deliver: columns, rows, files or tables; write nothing",
		Example: "  tranche exports preview -f events.yaml\n  tranche exports preview -f events.yaml --start -7d -o json | jq '.[].results'",
	}, func(s *session, _ []string) error {
		definitions, err := s.definitions(files)
		if err != nil {
			return err
		}
		return previewExports(s, definitions, start, end)
	})
	filesFlag(cmd, &files)
	cmd.Flags().StringVar(&start, "start", "", "from this `TIME`: a date, a time, or before now as in -7d; empty = the last complete interval")
	cmd.Flags().StringVar(&end, "end", "", "to this `TIME`; empty = now")
	return cmd
}

func previewExports(s *session, definitions []definition, start, end string) error {
	var previews []client.Body[client.Preview]
	for _, d := range definitions {
		if unset := unsetIn(d.fields); len(unset) > 0 {
			return usagef("%s: %s: not set in the environment: %s", d.origin, d.name, unset)
		}
		zone := d.export()
		from, to, err := s.bounds(start, end, zone)
		if err != nil {
			return err
		}
		if from != nil && to == nil {
			now := s.env.Now()
			to = &now
		}
		if err := d.allSet(d.fields); err != nil {
			return err
		}
		p, err := s.PreviewExport(s.ctx, d.body(), from, to)
		if err != nil {
			return exitf(ExitCode(err), "%s: %s: %s", d.origin, line(d.name), Explain(err))
		}
		previews = append(previews, p)
		if s.format == tables {
			if err := showPreview(s, d.name, p.Value, s.zoneFor(zone)); err != nil {
				return err
			}
		}
	}
	_, err := s.machine(raws(previews))
	return err
}

// export is as much of an export as tells its zone.
func (d definition) export() client.Export {
	name := textOf(d.fields["timezone"])
	if _, err := batch.LoadLocation(name); err != nil {
		name = "UTC" // the API refuses it
	}
	return client.Export{Timezone: name}
}

func showPreview(s *session, name string, p client.Preview, zone *time.Location) error {
	var f facts
	f.add("Export", name)
	f.add("Model", p.Model)
	f.add("From", interval(&p.DataIntervalStart, p.DataIntervalEnd, zone)+" "+zoneName(zone, s.env.Now()))
	f.add("Intervals", count(p.Intervals))
	f.add("Rows", countOf(p.Records))
	if p.Table != nil {
		f.add("Table", *p.Table)
	}
	for i, file := range p.Files {
		title := ""
		if i == 0 {
			title = "Files"
		}
		f.add(title, file.Key)
	}
	if err := f.write(s.out, s.style); err != nil {
		return err
	}
	columns, types := p.Columns, "TYPE"
	if p.TableColumns != nil {
		columns, types = p.TableColumns, "TYPE IN THE TABLE"
	}
	t := newTable("COLUMN", types)
	for _, c := range columns {
		t.add(c.Name, c.Type)
	}
	fmt.Fprintln(s.out)
	if err := t.write(s.out, s.style); err != nil {
		return err
	}
	for i, row := range p.Results {
		if i == 0 {
			fmt.Fprintln(s.out)
		}
		fmt.Fprintln(s.out, line(string(row)))
	}
	s.say("Nothing was written.")
	return nil
}
