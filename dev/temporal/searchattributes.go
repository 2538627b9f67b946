package temporal

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

// attributesTimeout bounds the registration of search attributes.
const attributesTimeout = 30 * time.Second

// ensureSearchAttributes registers what the namespace lacks: one that an earlier start made keeps what it had then. It
// says whether it added any: the running services learn of them only after a while, or at the next start.
func ensureSearchAttributes(ctx context.Context, hostPort string, want map[string]enumspb.IndexedValueType) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, attributesTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: hostPort, Namespace: Namespace, Logger: noLog{}})
	if err != nil {
		return false, fmt.Errorf("dial the Temporal server: %w", err)
	}
	defer c.Close()

	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: Namespace})
	if err != nil {
		return false, fmt.Errorf("list the search attributes: %w", err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, kind := range want {
		switch registered, ok := have.GetCustomAttributes()[name]; {
		case !ok:
			missing[name] = kind
		case registered != kind:
			return false, fmt.Errorf("the search attribute %s is registered as %s and not as %s", name, registered, kind)
		}
	}
	if len(missing) == 0 {
		return false, nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: Namespace, SearchAttributes: missing,
	})
	if err != nil {
		return false, fmt.Errorf("add search attributes: %w", err)
	}
	return true, nil
}

// noLog keeps the SDK from writing to the standard output.
type noLog struct{}

var _ sdklog.Logger = noLog{}

func (noLog) Debug(string, ...any) {}
func (noLog) Info(string, ...any)  {}
func (noLog) Warn(string, ...any)  {}
func (noLog) Error(string, ...any) {}
