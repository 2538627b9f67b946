package encode_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that files leave behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
