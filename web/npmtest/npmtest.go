// Package npmtest gives tests usher as it is deployed, for clients and backends that
// are written in JavaScript and use packages of npm.
//
// The server is the command itself, in a process of its own, which tests also kill.
// What is tried is in scenarios, in JavaScript, which the suite's run.mjs plays: it
// says which there are, and asks for what a scenario needs, a line of JSON each.
//
// A package has one [Suite], and its tests begin with that. Its TestMain runs [Share].
package npmtest

import (
	"bytes"
	"os"
	"sync"
	"time"
)

// Patience is how long a test waits before it says that nothing came. Nothing
// is measured by it.
const Patience = 2 * time.Minute

// A Suite is what the tests of one package have in common. Their folder is three
// below the module's, and has run.mjs and package-lock.json.
type Suite struct {
	Packages []string // of npm, as they are called in node_modules
	Missing  string   // what a skipped test says first, without one of them
	Secrets  []string // what no server may log
}

// Sharing runs tests that share the built command.
type Sharing struct{ tests interface{ Run() int } }

// Share is for a package's TestMain: its tests use one command, which is built for
// the first that needs it.
func Share(tests interface{ Run() int }) Sharing { return Sharing{tests} }

// Run runs the tests, and then removes the command.
func (s Sharing) Run() int {
	code := s.tests.Run()
	if command.dir != "" {
		_ = os.RemoveAll(command.dir)
	}
	return code
}

// A Buffer is a [bytes.Buffer] whose methods may be called concurrently.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
