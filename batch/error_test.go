package batch_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// The codes are read from the source, so that one added without a fault is found.
func TestEveryCodeHasAFault(t *testing.T) {
	t.Parallel()
	declared := declaredCodes(t)
	faults := batch.Codes()
	for name, code := range declared {
		fault, ok := faults[code]
		require.True(t, ok, "%s has no fault", name)
		require.Contains(t, []batch.Fault{batch.Nobodys, batch.Customers, batch.Ours}, fault, name)
		require.Equal(t, fault, code.Fault(), name)
		require.NotEqual(t, "unknown", fault.String(), name)
	}
	require.Len(t, faults, len(declared), "a fault without a code, or two codes with one value")
}

// declaredCodes returns every constant of type Code in error.go, by its name.
func declaredCodes(t *testing.T) map[string]batch.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	codes := map[string]batch.Code{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		kind, ok := spec.Type.(*ast.Ident)
		if !ok || kind.Name != "Code" {
			return false
		}
		for i, name := range spec.Names {
			literal, ok := spec.Values[i].(*ast.BasicLit)
			require.True(t, ok, name.Name)
			value, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			codes[name.Name] = batch.Code(value)
		}
		return false
	})
	require.Greater(t, len(codes), 10)
	return codes
}

func TestCodeRetryable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code batch.Code
		want bool
	}{
		"nobody must act: it passes":                       {batch.CodeThrottled, true},
		"the customer must act":                            {batch.CodeCredentials, false},
		"we must act: the fix may arrive in time":          {batch.CodeInternal, true},
		"a failed verification would compare the same":     {batch.CodeVerification, false},
		"a code that nobody knows is a defect of ours":     {"made_up", true},
		"a newer run has taken over":                       {batch.CodeSuperseded, false},
		"somebody cancelled: nothing starts it once again": {batch.CodeCancelled, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.code.Retryable())
		})
	}
}

func TestErrorKeepsTheCauseFromTheCustomer(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.0.0.7:5432: connection refused")
	err := fmt.Errorf("stage split 3: %w", batch.Errorf(batch.CodeUnavailable, cause, "the database %q does not answer", "shop"))

	require.ErrorIs(t, err, cause)
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err))
	require.Equal(t, `the database "shop" does not answer`, batch.MessageOf(err))
	require.Equal(t, `stage split 3: unavailable: the database "shop" does not answer: `+cause.Error(), err.Error())
}

func TestErrorWithoutACause(t *testing.T) {
	t.Parallel()
	err := batch.Errorf(batch.CodeConfig, nil, "the prefix is too long")
	require.EqualError(t, err, "invalid_config: the prefix is too long")
	require.NoError(t, err.Unwrap())
}

func TestErrorThatNobodyClassified(t *testing.T) {
	t.Parallel()
	err := errors.New("password=hunter2 refused")
	require.Equal(t, batch.CodeInternal, batch.CodeOf(err))
	require.Equal(t, batch.InternalMessage, batch.MessageOf(err))
}

func TestCodesReturnsACopy(t *testing.T) {
	t.Parallel()
	codes := batch.Codes()
	codes["made_up"] = batch.Nobodys
	require.NotContains(t, batch.Codes(), batch.Code("made_up"))
}

func TestFaultString(t *testing.T) {
	t.Parallel()
	require.Equal(t, "nobody", batch.Nobodys.String())
	require.Equal(t, "customer", batch.Customers.String())
	require.Equal(t, "operator", batch.Ours.String())
	require.Equal(t, "unknown", batch.Fault(0).String())
}
