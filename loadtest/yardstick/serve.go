package yardstick

import (
	"context"
	"fmt"
	"time"
)

// The kinds of server.
const (
	Floor = "floor" // Linux only
	Naive = "naive"
)

const (
	maxMessage = 1 << 20
	maxHeader  = 32 << 10 // of the request that opens a connection

	// joinTime is how long a connection may take to join, and a connection that
	// is being closed to hear of it.
	joinTime = 5 * time.Second

	// Told in joined, as usher tells them.
	graceMillis = 30_000
	pingMillis  = 15_000
)

// Why somebody left, as others are told.
const (
	leftByItself = "CLIENT_INITIATED"
	replaced     = "DUPLICATE_IDENTITY"
	timedOut     = "CONNECTION_TIMEOUT"
)

// rosterLimit is how many members a room tells of. A variable for tests alone.
var rosterLimit = 1000

// Serve runs a server of the kind until ctx ends, and calls ready with the
// address once connections are accepted. When it returns, everything it started
// has ended.
func Serve(ctx context.Context, kind, addr string, ready func(addr string)) error {
	d, err := newDoor()
	if err != nil {
		return err
	}
	switch kind {
	case Floor:
		return serveFloor(ctx, addr, d, ready)
	case Naive:
		return serveNaive(ctx, addr, d, ready)
	}
	return fmt.Errorf("yardstick: no kind of server is called %q: it is %q or %q", kind, Floor, Naive)
}
