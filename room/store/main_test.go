package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the process that tests kill.
func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv("STORE_CHILD")]; ok {
		run(os.Getenv("STORE_DIR"))
		return
	}
	goleak.VerifyTestMain(m)
}
