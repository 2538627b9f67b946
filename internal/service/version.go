package service

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// A Version is what a worker is of a deployment: Temporal sends new work to the deployment's current version, and lets
// older ones finish theirs.
type Version struct {
	// Deployment names all versions together, BuildID this one. Without a build id workers are not told apart.
	Deployment, BuildID string
	// Pinned keeps a run on the version that began it, to its end. Otherwise it moves to the current version with its next
	// step, which our workflows allow. Backfills always move: they may last for days.
	Pinned bool
}

// deployment is the version in the SDK's words.
func (v Version) deployment() worker.DeploymentOptions {
	if v.BuildID == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: v.Deployment, BuildID: v.BuildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

// ofRuns says how runs are registered.
func (v Version) ofRuns() (o workflow.RegisterOptions) {
	if v.BuildID != "" && v.Pinned {
		o.VersioningBehavior = workflow.VersioningBehaviorPinned
	}
	return o
}
