package sdk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits before it says that nothing came. Nothing
// is measured by it.
const patience = time.Minute

// A node is a running rpc.mjs, which holds objects of livekit-server-sdk. Its
// methods may be called concurrently.
type node struct {
	stderr lockedBuffer
	id     atomic.Uint64

	mu      sync.Mutex // guards the following fields
	stdin   io.WriteCloser
	waiting map[uint64]chan reply
	dead    bool
}

// A reply is what a question was answered with.
type reply struct {
	ID     uint64          `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *thrown         `json:"error"`
}

// thrown is what a program in JavaScript catches.
type thrown struct {
	Name     string            `json:"name"`
	Message  string            `json:"message"`
	Status   int               `json:"status"` // of HTTP; 0 when it is no error of the server
	Code     string            `json:"code"`   // of Twirp
	Metadata map[string]string `json:"metadata"`
}

func (e *thrown) Error() string {
	return fmt.Sprintf("%s (%d %s): %s", e.Name, e.Status, e.Code, e.Message)
}

// startNode starts rpc.mjs, which ends with the test. Without Node or the SDK
// the test is skipped.
func startNode(t testing.TB) *node {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NO NODE: install Node 20 or later with npm, then run make deps")
	}
	if want, have := versionOfSDK(t, "package-lock.json"), versionOfSDK(t, "node_modules/.package-lock.json"); have != want {
		t.Skipf("NO LIVEKIT SDK: %s is to be here, and %q is; run make deps", want, have)
	}
	n := &node{waiting: make(map[uint64]chan reply)}
	cmd := exec.Command(program, "rpc.mjs")
	cmd.Stderr = &n.stderr
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the process's output
		defer close(done)
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				n.end()
				return
			}
			var r reply
			if err := json.Unmarshal(line, &r); err != nil {
				t.Errorf("rpc.mjs wrote %q: %v", line, err)
				continue
			}
			n.mu.Lock()
			if answer := n.waiting[r.ID]; answer != nil {
				delete(n.waiting, r.ID)
				answer <- r
			}
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = n.stdin.Close()
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-done
		if err := cmd.Wait(); err != nil {
			t.Errorf("rpc.mjs: %v", err)
		}
		if text := n.stderr.String(); text != "" && t.Failed() {
			t.Logf("rpc.mjs on stderr:\n%s", text)
		}
	})
	return n
}

// versionOfSDK is the version that a lock file has, or none.
func versionOfSDK(t testing.TB, lock string) string {
	t.Helper()
	text, err := os.ReadFile(lock)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	var v any
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	version, _ := walk(v, []string{"packages", "node_modules/livekit-server-sdk", "version"}).(string)
	return version
}

// end answers everybody who still waits.
func (n *node) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for id, answer := range n.waiting {
		delete(n.waiting, id)
		answer <- reply{Error: &thrown{Name: "ended", Message: "rpc.mjs ended: " + n.stderr.String()}}
	}
}

// send asks without waiting for the answer.
func (n *node) send(question map[string]any) <-chan reply {
	id := n.id.Add(1)
	question["id"] = id
	answer := make(chan reply, 1)
	fail := func(text string) {
		answer <- reply{Error: &thrown{Name: "not asked", Message: text}}
	}
	line, err := json.Marshal(question)
	if err != nil {
		fail(err.Error())
		return answer
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		fail("rpc.mjs has ended: " + n.stderr.String())
		return answer
	}
	n.waiting[id] = answer
	if _, err := n.stdin.Write(append(line, '\n')); err != nil {
		delete(n.waiting, id)
		fail(err.Error())
	}
	return answer
}

// wait waits for the answer of a send.
func (n *node) wait(answer <-chan reply) (json.RawMessage, error) {
	watchdog := time.NewTimer(patience)
	defer watchdog.Stop()
	select {
	case r := <-answer:
		if r.Error != nil {
			return nil, r.Error
		}
		return r.Result, nil
	case <-watchdog.C:
		return nil, fmt.Errorf("rpc.mjs does not answer; it said %q", n.stderr.String())
	}
}

// new makes an object of one of the SDK's classes, to be called by the name as.
func (n *node) new(t testing.TB, as, class string, args ...any) {
	t.Helper()
	if _, err := n.wait(n.send(map[string]any{"new": class, "args": args, "as": as})); err != nil {
		t.Fatalf("new %s: %v", class, err)
	}
}

// call calls a method of an object. The error is a *[thrown].
func (n *node) call(on, method string, args ...any) (json.RawMessage, error) {
	if args == nil {
		args = []any{}
	}
	return n.wait(n.send(map[string]any{"on": on, "call": method, "args": args}))
}

// must is call where an error is none of the test's expectations. It decodes
// the result; see [at].
func (n *node) must(t testing.TB, on, method string, args ...any) any {
	t.Helper()
	result, err := n.call(on, method, args...)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	var v any
	if err := json.Unmarshal(result, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What JavaScript has and JSON has not; see rpc.mjs.
func bigint(n int64) any                { return map[string]string{"$bigint": fmt.Sprint(n)} }
func octets(b []byte) any               { return map[string][]byte{"$bytes": b} }
func undefined() any                    { return map[string]bool{"$undefined": true} }
func object(class string, init any) any { return map[string]any{"$new": class, "args": []any{init}} }

// at returns a field of a result by its path, "0.permission.canPublish".
func at(v any, path string) any { return walk(v, strings.Split(path, ".")) }

// walk returns a field of a result by its path; a number is an index.
func walk(v any, path []string) any {
	for _, name := range path {
		switch on := v.(type) {
		case map[string]any:
			v = on[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(on) {
				return nil
			}
			v = on[i]
		default:
			return nil
		}
	}
	return v
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
