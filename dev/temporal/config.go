package temporal

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	// historyShards is fixed when the database is made; four keep the latency of one workflow low on SQLite.
	historyShards = 4
	// clusterID must be the same at every start, or the server refuses its own database.
	clusterID = "b6d2c7c0-6a2f-4d0e-9a53-0c5f1f4f7a5e"
	// joinTimeout bounds the wait for the services to find each other.
	joinTimeout = 30 * time.Second
	// visibilityRPS is far above the default, which a list of runs in a test would meet.
	visibilityRPS = 1000
	// queueWorkers is how many tasks of a kind the history service works on at once. They share one connection: with the
	// default of 512, a thousand schedules that fall due together wait for it until their three seconds are over, are
	// tried again, and hold up everything else meanwhile.
	queueWorkers = 16
	// historyCacheSize is enough for a laptop and keeps the process small.
	historyCacheSize = 8096

	disabled   = "disabled"
	main       = "main"
	visibility = "visibility"
)

// serverConfig is a cluster of one node.
func serverConfig(s stores, p ports) *config.Config {
	c := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     main,
			VisibilityStore:  visibility,
			NumHistoryShards: historyShards,
			DataStores:       map[string]config.DataStore{main: {SQL: s.main}, visibility: {SQL: s.visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled: true, InitialFailoverVersion: 1, RPCAddress: p.frontend(), ClusterID: clusterID,
			}},
		},
		Services: make(map[string]config.Service, len(services)),
	}
	c.Global.Membership = config.Membership{MaxJoinDuration: joinTimeout, BroadcastAddress: loopback}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Archival.History.State, c.Archival.Visibility.State = disabled, disabled
	c.NamespaceDefaults.Archival.History.State, c.NamespaceDefaults.Archival.Visibility.State = disabled, disabled
	c.PublicClient.HostPort = p.frontend()
	for _, service := range services {
		c.Services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: p.services[service], BindOnIP: loopback}}
	}
	return c
}

// dynamicConfig is what differs from the server's defaults.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// Without it fairness keys on tasks do nothing.
		dynamicconfig.MatchingEnableFairness.Key(): true,
		// Ranks and fairness hold within a partition of a queue. One is plenty for one process, and no task is forwarded.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():           1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key():          1,
		dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():           queueWorkers,
		dynamicconfig.TransferProcessorSchedulerWorkerCount.Key():        queueWorkers,
		dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key():      queueWorkers,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): visibilityRPS,
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                 historyCacheSize,
	}
}

// startServer returns when all services are up. A server that does not come up is stopped again.
func startServer(c *config.Config, p ports, logger log.Logger) (temporal.Server, error) {
	hosts := make(map[primitives.ServiceName]static.Hosts, len(services))
	for _, service := range services {
		hosts[service] = static.SingleLocalHost(net.JoinHostPort(loopback, strconv.Itoa(p.services[service])))
	}
	authorizer, err := authorization.GetAuthorizerFromConfig(&c.Global.Authorization)
	if err != nil {
		return nil, fmt.Errorf("make the authorizer: %w", err)
	}
	mapper, err := authorization.GetClaimMapperFromConfig(&c.Global.Authorization, logger)
	if err != nil {
		return nil, fmt.Errorf("make the claim mapper: %w", err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(c),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return mapper }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
	if err != nil {
		return nil, fmt.Errorf("configure the Temporal server: %w", err)
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start the Temporal server: %w", errors.Join(err, server.Stop()))
	}
	return server, nil
}
