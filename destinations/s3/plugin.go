package s3

import (
	"context"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"tranche/destinations"
	"tranche/destinations/objects"
	"tranche/destinations/objects/uploads"
	"tranche/query"
)

// The names of the destinations in the API.
const (
	Type           = "S3"
	TypeAWS        = "AwsS3"
	TypeCompatible = "S3Compatible"
)

// A Server is what the server, not the customer, says about object stores.
type Server struct {
	// Guard refuses endpoints in our own network, when settings are saved and when a connection is made; nil = any
	// endpoint will do.
	Guard Guard
	// Credentials are the server's own identity in AWS; nil = it has none, and cannot assume roles.
	Credentials aws.CredentialsProvider
	// Role is assumed first, before a customer's; empty = none.
	Role string
	// Lend lets exports without credentials of their own use those of the server.
	Lend bool
	// Budget bounds the memory of all uploads of the process; nil = each kind of destination has its own.
	Budget *uploads.Budget

	// Tests have other servers, less patience, and stop a destination at its steps.
	storeURL, stsURL string
	idle             time.Duration
	maxBackoff       time.Duration
	at               func(ctx context.Context, point string) error
}

// A Guard says whether customers may name a host, and whether a connection may be made to an address.
type Guard interface {
	Check(ctx context.Context, host string) error
	Control(network, address string, c syscall.RawConn) error
}

// endpointOf is where requests go; empty = to AWS.
func (s Server) endpointOf(p place) string {
	if p.endpoint != "" {
		return p.endpoint
	}
	return s.storeURL
}

// AWS returns the plugin of AwsS3.
func AWS(server Server) destinations.Plugin {
	return define(server, TypeAWS, "AWS S3", AWSConfig.place, awsSteps)
}

// Compatible returns the plugin of S3Compatible.
func Compatible(server Server) destinations.Plugin {
	return define(server, TypeCompatible, "S3-compatible", CompatibleConfig.place, compatibleSteps)
}

// Plugin returns the plugin of S3.
func Plugin(server Server) destinations.Plugin {
	return define(server, Type, "S3", Config.place, bothSteps)
}

// Plugins returns the plugins of all three, which share a budget.
func Plugins(server Server) []destinations.Plugin {
	if server.Budget == nil {
		server.Budget = uploads.NewBudget(uploads.MemoryLimit)
	}
	return []destinations.Plugin{AWS(server), Compatible(server), Plugin(server)}
}

func define[C any](server Server, kind, name string, placeOf func(C) place, steps []step) destinations.Plugin {
	if server.Budget == nil {
		server.Budget = uploads.NewBudget(uploads.MemoryLimit)
	}
	return destinations.Define(destinations.Definition[C]{
		Type: kind, Name: name, Guarantee: destinations.AtomicObjects, Steps: listed(steps),
		Settle: settleExtension,
		Validate: func(c C) error {
			p := placeOf(c)
			if err := p.validate(server); err != nil {
				return err
			}
			return p.checkHost(server.Guard)
		},
		Columns: func(_ C, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Place: func(c C, run destinations.Run, _ query.Model) destinations.Place {
			return placeOf(c).keys(run).Place()
		},
		MaxSplits: func(c C) int { return placeOf(c).files().Splits() },
		Memory:    func(c C) int64 { return placeOf(c).files().Memory() + uploads.Memory(placeOf(c).files()) },
		Host:      func(c C) string { return placeOf(c).host() },
		OpenFor: func(_ context.Context, owner destinations.Owner, c C) (destinations.Destination, error) {
			return server.open(owner, placeOf(c), steps)
		},
	})
}

// A destination delivers to a bucket, and knows the steps that prove that it can.
type destination struct {
	*uploads.Destination
	place place
	steps []step
	role  *role // nil = there is none
}

// open connects lazily: what does not answer is found by the first request.
func (s Server) open(owner destinations.Owner, p place, steps []step) (*destination, error) {
	if err := p.validate(s); err != nil { // the guard watches connections now
		return nil, err
	}
	d := &destination{place: p, steps: steps}
	patience := s.patienceFor(owner)
	web := s.newHTTPClient(patience)
	var identity aws.CredentialsProvider
	switch {
	case p.role != "":
		var err error
		if d.role, err = s.roleOf(owner, p, web, patience); err != nil {
			return nil, err
		}
		identity = d.role.session()
	case p.AccessKeyID != nil:
		identity = credentials.NewStaticCredentialsProvider(p.AccessKeyID.Reveal(), p.SecretAccessKey.Reveal(), "")
	default:
		identity = s.Credentials // validate has seen that they are lent
	}
	d.Destination = &uploads.Destination{
		Bucket: s.newStore(p, identity, web, patience), Config: p.files(), Keys: p.keys, Budget: s.Budget, At: s.at,
	}
	return d, nil
}
