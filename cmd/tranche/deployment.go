package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
)

// deploymentTimeout bounds one command, the wait for workers that come up included.
const deploymentTimeout = 2 * time.Minute

func deploymentCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{Use: "deployment", Short: "See and choose the version of the workers that gets new work"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "status", Short: "List the versions of the workers", Args: cobra.NoArgs,
			RunE: withDeployment(getenv, printVersions),
		},
		&cobra.Command{
			Use: "promote BUILD_ID", Short: "Send new work to a version, once its workers are there", Args: cobra.ExactArgs(1),
			RunE: withDeployment(getenv, func(cmd *cobra.Command, d deployment, args []string) error {
				return d.promote(cmd.Context(), args[0])
			}),
		},
	)
	return cmd
}

// A deployment is all versions of our workers, as Temporal knows them.
type deployment struct {
	client.WorkerDeploymentHandle
	name string
}

func withDeployment(getenv func(string) string, do func(*cobra.Command, deployment, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := readConfig(getenv)
		if err != nil {
			return err
		}
		options, err := c.temporalOptions(zap.NewNop())
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), deploymentTimeout)
		defer cancel()
		cmd.SetContext(ctx)
		temporal, err := client.DialContext(ctx, options)
		if err != nil {
			return fmt.Errorf("connect to Temporal at %s: %w", c.TemporalAddress, err)
		}
		defer temporal.Close()
		return do(cmd, deployment{temporal.WorkerDeploymentClient().GetHandle(c.Deployment), c.Deployment}, args)
	}
}

func printVersions(cmd *cobra.Command, d deployment, _ []string) error {
	found, err := d.Describe(cmd.Context(), client.WorkerDeploymentDescribeOptions{})
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return fmt.Errorf("no worker with TRANCHE_BUILD_ID of the deployment %q has come up yet", d.name)
	}
	if err != nil {
		return err
	}
	current := found.Info.RoutingConfig.CurrentVersion
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BUILD ID\tSINCE\tSTATE")
	for _, v := range found.Info.VersionSummaries {
		state := stateOfVersion(v.DrainageStatus)
		if current != nil && v.Version == *current {
			state = "current: gets new work"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Version.BuildID, v.CreateTime.UTC().Format(time.RFC3339), state)
	}
	return w.Flush()
}

func stateOfVersion(s client.WorkerDeploymentVersionDrainageStatus) string {
	switch s {
	case client.WorkerDeploymentVersionDrainageStatusDraining:
		return "draining: has runs of its own, keep its workers"
	case client.WorkerDeploymentVersionDrainageStatusDrained:
		return "drained: its workers can be stopped"
	}
	return "idle: promote it to give it work"
}

// promote waits for the version's workers: Temporal knows it once they poll every queue.
func (d deployment) promote(ctx context.Context, buildID string) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		_, err := d.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID})
		_, unknown := errors.AsType[*serviceerror.NotFound](err)
		_, early := errors.AsType[*serviceerror.FailedPrecondition](err)
		if !unknown && !early {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the workers of version %q of the deployment %q do not serve every queue: %w", buildID, d.name, err)
		}
	}
}
