package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"go.temporal.io/server/common/primitives"
)

// loopback is the only address on which the server's own services listen.
const loopback = "127.0.0.1"

// services are the parts of a Temporal server; each listens on a port of its own.
var services = [...]primitives.ServiceName{
	primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
}

// A PortError says that an address cannot be listened on.
type PortError struct {
	Address string
	Err     error
}

// Error names the address.
func (e *PortError) Error() string { return fmt.Sprintf("cannot listen on %s: %v", e.Address, e.Err) }

// Unwrap returns the cause.
func (e *PortError) Unwrap() error { return e.Err }

// ports are the addresses that a server will listen on.
type ports struct {
	services map[primitives.ServiceName]int
	ui       *net.TCPAddr // nil = no UI
}

func (p ports) frontend() string {
	return net.JoinHostPort(loopback, strconv.Itoa(p.services[primitives.FrontendService]))
}

// choosePorts tries every address before anything is started, because Temporal and its UI end the process when one is
// taken. All are held until all are found, so that no two are the same.
func choosePorts(ctx context.Context, frontend int, uiListen string) (p ports, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	probe := func(address string) (*net.TCPAddr, error) {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, &PortError{Address: address, Err: err}
		}
		held = append(held, l)
		bound, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, &PortError{Address: address, Err: errors.New("not a TCP address")}
		}
		return bound, nil
	}

	p.services = make(map[primitives.ServiceName]int, len(services))
	if uiListen != "" {
		if p.ui, err = probe(uiListen); err != nil {
			return ports{}, err
		}
	}
	for _, service := range services {
		port := 0
		if service == primitives.FrontendService {
			port = frontend
		}
		bound, err := probe(net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			return ports{}, err
		}
		p.services[service] = bound.Port
	}
	return p, nil
}
