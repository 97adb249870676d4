// Package sdk_test uses usher as applications for Liveblocks do: pages with the
// unmodified @liveblocks/client of npm, of this year and of earlier ones, in Node
// and in a browser, and backends with @liveblocks/node. The server is the command
// itself, in a process of its own, which tests also kill.
//
// What is tried is in scenarios, in JavaScript. The tests here start servers and
// run.mjs, which plays them.
package sdk_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"usher/web/browsertest"
	"usher/web/npmtest"
)

var suite = npmtest.Suite{
	Packages: []string{"@liveblocks/client", "@liveblocks/core", "@liveblocks/node", "liveblocks-client-2", "liveblocks-client-3.10", "ws", "esbuild"},
	Missing:  "NO LIVEBLOCKS SDK",
	Secrets:  []string{"eyJ", "tok=", "sk_dev", projectSecret},
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(npmtest.Share(browsertest.Share(m)),
		// A page's cut connections linger half a second in net/http.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// size is how much of it is done: scenarios name three numbers.
func size() string {
	switch {
	case os.Getenv("USHER_SOAK") != "":
		return "soak"
	case testing.Short():
		return "short"
	}
	return "usual"
}

// seed is that of everything random in a test. USHER_SEED repeats a run, as far as
// the machine lets it.
func seed(t *testing.T) uint32 {
	t.Helper()
	s := rand.Uint32()
	if text := os.Getenv("USHER_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		s = uint32(n)
	}
	t.Logf("USHER_SEED=%d", s)
	return s
}

// TestScenarios plays all at once, against one server.
func TestScenarios(t *testing.T) {
	player := suite.Player(t)
	server := suite.Server(t, t.TempDir())
	given := map[string]any{"url": server.URL(), "size": size(), "seed": seed(t)}
	for _, name := range player.Scenarios {
		if name == "resolution" { // TestResolution
			continue
		}
		t.Run(name, func(t *testing.T) {
			own := &house{t: t, door: browsertest.NewDoor(t)}
			played := player.Play(name, given, own.do)
			t.Parallel() // from here on, when all have begun
			if err := <-played; err != nil {
				t.Error(err)
			}
		})
	}
}

// A house is a server that one scenario has for itself, and a door to it that
// stays where it is while servers come and go.
type house struct {
	t      *testing.T
	door   *browsertest.Door
	server *npmtest.Server
	data   string
	config []string // flags of its configuration, if it has one
	mu     sync.Mutex
}

// do does what a scenario asks for.
func (h *house) do(ask string) (answer string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch ask {
	case "server", "configured server":
		h.data = h.t.TempDir()
		if ask != "server" {
			h.config = configured(h.t)
		}
		fallthrough
	case "start":
		if h.server, err = suite.Start(h.t, h.data, h.config...); err != nil {
			return "", err
		}
		h.door.Lead(h.server.Addr)
		return h.door.URL(), nil
	case "start with the door shut":
		h.server, err = suite.Start(h.t, h.data, h.config...)
		return "", err
	case "open":
		h.door.Lead(h.server.Addr)
		return "", nil
	case "address":
		return h.server.URL(), nil
	case "kill":
		h.door.Lead("") // who is in is cut by the kill
		h.server.Kill()
		return "", nil
	case "stop":
		h.door.Lead("")
		return "", h.server.Stop()
	}
	return "", fmt.Errorf("a scenario asks for %q", cmp.Or(ask, "nothing"))
}
