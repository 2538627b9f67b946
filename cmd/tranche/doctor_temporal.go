package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"tranche/workflows"
)

// A frontend is Temporal, as the doctor asks it.
type frontend struct {
	client.Client
	namespace string
}

// fairnessAdvice is what an operator does, since Temporal does not tell whether it was done.
const fairnessAdvice = "see that the server's dynamic configuration has matching.enableFairness: true; without it one project's backfills hold up all others"

// checkTemporal looks at the server, the namespace and what is in it.
func (d *doctor) checkTemporal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	options, err := d.config.temporalOptions(zap.NewNop())
	if err == nil {
		options.ConnectionOptions.GetSystemInfoTimeout = checkTimeout
		var dialled client.Client
		if dialled, err = client.DialContext(ctx, options); err == nil {
			d.temporal = &frontend{dialled, d.config.TemporalNamespace}
		}
	}
	if err != nil {
		d.problem("Temporal", err.Error(), "check TRANCHE_TEMPORAL_ADDRESS, and the TLS or API key settings beside it")
		d.skip("namespace", "search attributes", "fairness", "workers", "schedules", "clock of Temporal")
		return
	}
	version := "of a version that it does not tell"
	if info, err := d.temporal.WorkflowService().GetClusterInfo(ctx, &workflowservice.GetClusterInfoRequest{}); err == nil {
		version = info.GetServerVersion()
	}
	d.ok("Temporal", fmt.Sprintf("%s answers, server %s", d.config.TemporalAddress, version))
	if !d.checkNamespace(ctx) {
		d.skip("search attributes", "fairness", "workers", "schedules", "clock of Temporal")
		return
	}
	d.checkAttributes(ctx, d.checkWorkers(ctx))
	d.checkSchedules(ctx)
	d.add("fairness", stateSkipped, "Temporal does not tell whether it is enabled", fairnessAdvice)
	d.checkTemporalClock(ctx)
}

func (d *doctor) checkNamespace(ctx context.Context) bool {
	name := d.temporal.namespace
	found, err := d.temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: name})
	if _, none := errors.AsType[*serviceerror.NamespaceNotFound](err); none {
		d.problem("namespace", name+" does not exist", fmt.Sprintf("temporal operator namespace create --namespace %s --retention 30d", name))
		return false
	}
	if err != nil {
		d.problem("namespace", fmt.Sprintf("%s: %v", name, err), "check TRANCHE_TEMPORAL_NAMESPACE and the rights of our identity in it")
		return false
	}
	retention := found.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
	d.ok("namespace", fmt.Sprintf("%s, histories are kept for %d days", name, int(retention.Hours()/24)))
	return true
}

// checkAttributes looks for our search attributes. Before the first start, which registers them, it is no problem that they are
// missing.
func (d *doctor) checkAttributes(ctx context.Context, started bool) {
	have, err := d.temporal.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: d.temporal.namespace})
	if err != nil {
		d.warn("search attributes", fmt.Sprintf("they cannot be listed: %v", err), "see that they are registered: "+strings.Join(attributeNames(), ", "))
		return
	}
	var wrong, commands []string
	state := stateProblem
	if !started {
		state = stateWarning
	}
	registered := have.GetCustomAttributes()
	for _, name := range attributeNames() {
		want := workflows.SearchAttributes()[name]
		switch kind, ok := registered[name]; {
		case !ok:
			wrong = append(wrong, name+" is missing")
			commands = append(commands, fmt.Sprintf("temporal operator search-attribute create --namespace %s --name %s --type %s", d.temporal.namespace, name, kindOf(want)))
		case kind != want:
			state = stateProblem
			wrong = append(wrong, fmt.Sprintf("%s is of type %s, want %s", name, kindOf(kind), kindOf(want)))
			commands = append(commands, "register "+name+" anew with the right type")
		}
	}
	if len(wrong) > 0 {
		d.add("search attributes", state, strings.Join(wrong, "\n"),
			"start \"tranche api\", which registers those that are missing; where it may not:\n"+strings.Join(commands, "\n"))
		return
	}
	d.ok("search attributes", "all of them are registered")
}

func attributeNames() []string {
	var names []string
	for name := range workflows.SearchAttributes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// kindOf is a type of search attributes as Temporal's command line has it.
func kindOf(t enumspb.IndexedValueType) string { return t.String() }

// checkWorkers says who serves our queues, and finds versions that wait for being promoted. It returns whether anybody does.
func (d *doctor) checkWorkers(ctx context.Context) (served bool) {
	var missing, found []string
	builds := map[string]bool{}
	for _, queue := range []string{workflows.QueueExports, workflows.QueueBackfills, workflows.QueueNotifications} {
		pollers, err := d.temporal.pollers(ctx, queue)
		if err != nil {
			d.problem("workers", fmt.Sprintf("%s: %v", queue, err), "check the rights of our identity in the namespace")
			return false
		}
		for _, p := range pollers {
			if id := p.GetDeploymentOptions().GetBuildId(); id != "" {
				builds[id] = true
			}
		}
		if len(pollers) == 0 {
			missing = append(missing, queue)
			continue
		}
		found = append(found, fmt.Sprintf("%s: %d", queue, len(pollers)))
	}
	switch {
	case len(missing) > 0:
		d.warn("workers", "nobody serves "+strings.Join(missing, ", "), `start "tranche worker"`)
	case len(builds) > 0 && !d.promoted(ctx):
		d.problem("workers", "they are versioned, and no version gets new work", `run "tranche deployment promote BUILD_ID"`)
	default:
		d.ok("workers", strings.Join(found, ", "))
	}
	return len(found) > 0
}

// promoted says whether our deployment has a current version.
func (d *doctor) promoted(ctx context.Context) bool {
	found, err := d.temporal.WorkerDeploymentClient().GetHandle(d.config.Deployment).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	return err == nil && found.Info.RoutingConfig.CurrentVersion != nil
}

func (f *frontend) pollers(ctx context.Context, queue string) ([]*taskqueuepb.PollerInfo, error) {
	described, err := f.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: f.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
	})
	return described.GetPollers(), err
}

const (
	clockPoll  = 4 * time.Second        // how long we stand in a queue of our own
	clockEvery = 100 * time.Millisecond // how often we ask when we were seen there
)

// checkTemporalClock learns Temporal's time: it stands in a queue that nobody else uses, and asks when it was seen there.
func (d *doctor) checkTemporalClock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockPoll)
	defer cancel()
	queue := "tranche-doctor-" + uuid.NewString()
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = d.temporal.WorkflowService().PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{
			Namespace: d.temporal.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, Identity: "tranche doctor",
		}) // it ends with our patience: there is never a task
	}()
	defer func() { cancel(); <-done }()
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		pollers, err := d.temporal.pollers(ctx, queue)
		if err == nil && len(pollers) > 0 {
			d.checkClock("clock of Temporal", pollers[0].GetLastAccessTime().AsTime(), began, time.Now())
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			d.warn("clock of Temporal", "Temporal did not tell its time", "compare the clocks of its machines with ours")
			return
		}
	}
}
