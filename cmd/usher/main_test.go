package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"usher/auth"
	"usher/auth/livekit"
)

// The test binary is the command, too: scripts and tests of signals run it as
// a process of its own, all others call run.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"usher": main})
}

type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts plays testdata: transcripts of a shell session.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
	})
}

// patience is how long a test waits for what must come. It only ends a test
// that has failed.
const patience = 30 * time.Second

// A terminal is a command in this process, and what it prints.
type terminal struct {
	t        *testing.T
	name     string
	in       io.WriteCloser
	out, err *lines
	stop     context.CancelFunc // as a signal would
	exit     chan int
	once     sync.Once
	code     int
}

// start runs a command line. It is stopped when the test ends.
func start(t *testing.T, args ...string) *terminal {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	in, typed := io.Pipe()
	c := &terminal{t: t, name: args[0], in: typed, out: newLines(), err: newLines(), stop: cancel, exit: make(chan int, 1)}
	go func() { // ends with the command, which the cleanup waits for
		code := run(ctx, args, &streams{in, c.out, c.err})
		c.out.end()
		c.err.end()
		c.exit <- code
	}()
	t.Cleanup(func() {
		cancel()
		_ = typed.Close()
		c.wait()
	})
	return c
}

// startProcess runs a command line in a process of its own, for what only
// processes have: signals. Stopping it sends SIGTERM.
func startProcess(t *testing.T, args ...string) (c *terminal, signal func(os.Signal)) {
	t.Helper()
	cmd := exec.Command("usher", args...)
	c = &terminal{t: t, name: args[0], out: newLines(), err: newLines(), exit: make(chan int, 1)}
	cmd.Stdout, cmd.Stderr = c.out, c.err
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	signal = func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	c.stop = func() { signal(syscall.SIGTERM) }
	go func() { // ends with the process, which the cleanup waits for
		_ = cmd.Wait() // the exit code tells
		c.out.end()
		c.err.end()
		c.exit <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		c.wait()
	})
	return c, signal
}

// wait returns the exit code.
func (c *terminal) wait() int {
	c.t.Helper()
	c.once.Do(func() {
		select {
		case c.code = <-c.exit:
		case <-time.After(patience):
			c.t.Fatalf("usher %s does not end; it printed:\n%s%s", c.name, c.out.text(), c.err.text())
		}
	})
	return c.code
}

// types enters a line.
func (c *terminal) types(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatalf("typing %q: %v", line, err)
	}
}

// says waits for a line of output that has all of what in it, and returns it.
func (c *terminal) says(what ...string) string { c.t.Helper(); return c.out.await(c, what) }

// logs does the same with the error output.
func (c *terminal) logs(what ...string) string { c.t.Helper(); return c.err.await(c, what) }

// lines is an output, by lines, that can be awaited.
type lines struct {
	mu      sync.Mutex // guards the following fields
	partial string
	all     []string
	seen    int // lines before this one have been awaited
	ended   bool
	changed chan struct{} // replaced at each change
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial += string(p)
	for {
		line, rest, ok := strings.Cut(l.partial, "\n")
		if !ok {
			break
		}
		l.all, l.partial = append(l.all, line), rest
	}
	l.wakeLocked()
	return len(p), nil
}

func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeLocked()
}

func (l *lines) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(append(l.all, l.partial), "\n")
}

// last is the last whole line.
func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return ""
	}
	return l.all[len(l.all)-1]
}

func (l *lines) await(c *terminal, what []string) string {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		for l.seen < len(l.all) {
			line := l.all[l.seen]
			l.seen++
			if containsAll(line, what) {
				l.mu.Unlock()
				return line
			}
		}
		ended, changed := l.ended, l.changed
		l.mu.Unlock()
		if ended {
			c.t.Fatalf("usher %s ended without a line with %q:\n%s\n%s", c.name, what, c.out.text(), c.err.text())
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatalf("usher %s prints no line with %q:\n%s\n%s", c.name, what, c.out.text(), c.err.text())
		}
	}
}

func containsAll(line string, what []string) bool {
	for _, w := range what {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// A served is a server in this process.
type served struct {
	*terminal
	addr  string // HOST:PORT
	admin string // of the admin address, when it has one
}

// serve starts a server of --dev. Nothing it logs may ever hold a token.
func serve(t *testing.T, args ...string) *served {
	t.Helper()
	// A loopback port of the system's choice, and every log line there is.
	s := &served{terminal: start(t, append([]string{"serve", "--dev", "--addr", "127.0.0.1:0", "--log-level", "debug"}, args...)...)}
	s.addr = listenAddr(s.logs("msg=listening", "for=clients"))
	if strings.Contains(strings.Join(args, " "), "--admin-addr") {
		s.admin = listenAddr(s.logs("msg=listening", "for=operators"))
	}
	t.Cleanup(func() { // runs before the one that start registered
		s.stop()
		if code := s.wait(); code != 0 {
			t.Errorf("the server ended with exit code %d:\n%s", code, s.err.text())
		}
		if log := s.err.text(); strings.Contains(log, "eyJ") || strings.Contains(log, "token=") {
			t.Errorf("the log holds a token:\n%s", log)
		}
	})
	return s
}

var addrInLog = regexp.MustCompile(`addr=(\S+)`)

func listenAddr(line string) string { return addrInLog.FindStringSubmatch(line)[1] }

// mint makes a join token for the room of these tests.
func mint(t *testing.T, identity string, change func(*livekit.Claims)) string {
	t.Helper()
	c := livekit.Claims{Identity: identity, Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}
	if change != nil {
		change(&c)
	}
	token, err := livekit.Mint(devKey, auth.Secret(devSecret), c, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func admin(c *livekit.Claims) { c.Video.RoomAdmin = true }

// join starts usher join at an address.
func join(t *testing.T, addr, token string, args ...string) *terminal {
	t.Helper()
	return start(t, append([]string{"join", "--url", "ws://" + addr, "--token", token}, args...)...)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
