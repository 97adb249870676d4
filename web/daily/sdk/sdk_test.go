// Package sdk_test uses usher as backends for Daily do: tokens signed by npm's
// unmodified jsonwebtoken, requests by fetch with nothing changed but the base URL,
// webhooks received by node:http and checked in the way that Daily documents. The
// server is the command itself, in a process of its own, which tests also kill.
//
// What is tried is in scenarios, in JavaScript, by what they are about. The tests here
// start servers and run.mjs, which plays the scenarios.
package sdk_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"usher/web/npmtest"
)

var suite = npmtest.Suite{
	Packages: []string{"jsonwebtoken", "ws"},
	Missing:  "NO PACKAGES",
	Secrets:  []string{"eyJ", "daily_dev", projectKey},
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(npmtest.Share(m)) }

// TestScenarios plays all at once, against one server and those that some have for
// themselves.
func TestScenarios(t *testing.T) {
	player := suite.Player(t)
	server := suite.Server(t, t.TempDir())
	given := map[string]any{"url": server.URL()}
	for _, name := range player.Scenarios {
		t.Run(name, func(t *testing.T) {
			own := &house{t: t}
			t.Parallel()
			if err := <-player.Play(name, given, own.do); err != nil {
				t.Error(err)
			}
		})
	}
}

// projectKey is the API key of the servers that have a configuration.
const projectKey = "an-api-key-of-32-characters-or-more"

// config is a project as strict as it can be, lax one that is like Daily.
const (
	config = `
projects:
  - name: acme
    daily:
      domain_name: acme
      domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb
      api_keys: [` + projectKey + `]
`
	strict = config + "      require_exp: true\n      require_room: true\n      rate_limits: true\n"
	lax    = config + "      strict_tokens: false\n"
)

// A house is a server that one scenario has for itself.
type house struct {
	t      *testing.T
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
	case "server", "configured server", "lax server":
		h.data = h.t.TempDir()
		if text := map[string]string{"configured server": strict, "lax server": lax}[ask]; text != "" {
			file := filepath.Join(h.t.TempDir(), "usher.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return "", err
			}
			h.config = []string{"--config", file}
		}
		fallthrough
	case "start":
		if h.server, err = suite.Start(h.t, h.data, h.config...); err != nil {
			return "", err
		}
		return h.server.URL(), nil
	case "kill":
		h.server.Kill()
		return "", nil
	}
	return "", fmt.Errorf("a scenario asks for %q", cmp.Or(ask, "nothing"))
}
