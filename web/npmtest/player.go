package npmtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Node returns Node's path. Without it, or without the suite's packages as
// package-lock.json lists them, the test is skipped.
func (suite Suite) Node(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NO NODE: install Node 20 or later with npm, then run make deps")
	}
	version, err := exec.Command(program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if major, _ := strconv.Atoi(strings.TrimPrefix(strings.Split(string(version), ".")[0], "v")); major < 20 {
		t.Skipf("NO NODE: 20 or later is needed, and %s is here", version)
	}
	for _, name := range suite.Packages {
		if want, have := versionOf(t, "package-lock.json", name), versionOf(t, "node_modules/.package-lock.json", name); want == "" || have != want {
			t.Skipf("%s: %s %s is to be here, and %q is; run make deps", suite.Missing, name, want, have)
		}
	}
	return program
}

// versionOf is the version of a package that a lock file has, or none.
func versionOf(t testing.TB, lock, name string) string {
	t.Helper()
	text, err := os.ReadFile(lock)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	var v struct {
		Packages map[string]struct{ Version string }
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v.Packages["node_modules/"+name].Version
}

// A Player is a running run.mjs. Its methods may be called concurrently.
type Player struct {
	Scenarios []string // that run.mjs has; static

	mu      sync.Mutex // guards the following fields
	stdin   io.WriteCloser
	playing map[string]chan line
	dead    bool
}

// A line is what run.mjs says of a scenario: that it asks for something, or how it
// ended.
type line struct {
	Scenarios []string
	Of        string
	ID        int
	Ask       string
	Done      bool
	Error     string
}

// Player starts run.mjs, which ends with the test.
func (suite Suite) Player(t testing.TB) *Player {
	t.Helper()
	cmd := exec.Command(suite.Node(t), "run.mjs")
	said := new(Buffer)
	cmd.Stderr = said
	p := &Player{playing: make(map[string]chan line)}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun, done := make(chan []string, 1), make(chan struct{})
	go func() { // ends with the process's output
		defer close(done)
		defer p.end()
		for lines := bufio.NewReader(stdout); ; {
			text, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			var l line
			if err := json.Unmarshal(text, &l); err != nil {
				t.Errorf("run.mjs wrote %q: %v", text, err)
				continue
			}
			if l.Scenarios != nil {
				begun <- l.Scenarios
				continue
			}
			p.mu.Lock()
			to := p.playing[l.Of]
			p.mu.Unlock()
			if to != nil {
				to <- l
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.stdin.Close()
		kill := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-done
		if err := cmd.Wait(); err != nil {
			t.Errorf("run.mjs: %v", err)
		}
		if text := said.String(); text != "" && t.Failed() {
			t.Logf("run.mjs on stderr:\n%s", text[max(0, len(text)-5000):])
		}
	})
	select {
	case p.Scenarios = <-begun:
	case <-done:
		t.Fatal("run.mjs ended before it began")
	}
	return p
}

// end answers everybody who still waits.
func (p *Player) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	for name, to := range p.playing {
		delete(p.playing, name)
		close(to)
	}
}

func (p *Player) tell(what map[string]any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.stdin.Write(append(text, '\n'))
	return err
}

// Play begins a scenario, and returns a channel that tells how it ended. What the
// scenario asks for, do does.
func (p *Player) Play(name string, given map[string]any, do func(ask string) (answer string, err error)) <-chan error {
	played, lines := make(chan error, 1), make(chan line, 16)
	p.mu.Lock()
	dead := p.dead
	if !dead {
		p.playing[name] = lines
	}
	p.mu.Unlock()
	words := map[string]any{"play": name}
	for k, v := range given {
		words[k] = v
	}
	if dead {
		played <- errors.New("run.mjs has ended")
		return played
	}
	if err := p.tell(words); err != nil {
		played <- err
		return played
	}
	go func() { // ends with the scenario
		var failed error
		for l := range lines {
			if l.Done {
				p.mu.Lock()
				delete(p.playing, name)
				p.mu.Unlock()
				if l.Error != "" {
					failed = errors.Join(failed, errors.New(l.Error))
				}
				played <- failed
				return
			}
			answer, err := do(l.Ask)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", l.Ask, err))
			}
			_ = p.tell(map[string]any{"of": name, "id": l.ID, "answer": answer})
		}
		played <- errors.Join(failed, errors.New("run.mjs ended in the middle of it"))
	}()
	return played
}
