package sdk_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"usher/web/npmtest"
)

// A terminal is a program of the guide, and what it prints.
type terminal struct {
	t     *testing.T
	name  string
	lines chan string
	all   *npmtest.Buffer
	stdin io.WriteCloser
	ended chan struct{} // closed when it has
}

func run(t *testing.T, folder, program string, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, name: filepath.Base(program), lines: make(chan string, 1000), all: new(npmtest.Buffer), ended: make(chan struct{})}
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	cmd.Stderr = c.all
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		c.stdin, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process's output
		defer close(c.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			_, _ = fmt.Fprintln(c.all, lines.Text())
			c.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-c.ended
		_ = cmd.Wait() // was killed, perhaps
	})
	return c
}

// prints waits for a line that has all of that in it.
func (c *terminal) prints(what ...string) string {
	c.t.Helper()
	watchdog := time.NewTimer(npmtest.Patience)
	defer watchdog.Stop()
	for {
		select {
		case line := <-c.lines:
			found := true
			for _, w := range what {
				found = found && strings.Contains(line, w)
			}
			if found {
				return line
			}
		case <-watchdog.C:
			c.t.Fatalf("%s does not print %q; it said:\n%s", c.name, what, c.all)
		}
	}
}

func (c *terminal) types(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

var (
	block = regexp.MustCompile("(?s)```(js|sh)\n(.*?)```")
	call  = regexp.MustCompile(`^daily ([A-Z]+) (\S+)(?: '(.*)')?$`)
	curl  = regexp.MustCompile(`^curl -s (?:-X (\S+) )?(http://\S+) -H "Authorization: Bearer daily_dev_secret"(?: -d '(.*)')?$`)
	link  = regexp.MustCompile(`\?t=(\S+)`)
)

// A step is a program of the guide, or a line for the shell.
type step struct{ program, line string }

// steps is what the guide has one do, from its first line to its last.
func steps(text string) (list []step) {
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		if m[1] == "js" {
			list = append(list, step{program: m[2]})
			continue
		}
		for line := range strings.Lines(m[2]) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "daily() {") {
				list = append(list, step{line: line})
			}
		}
	}
	return list
}

// A guide is one who follows docs/daily.md.
type guide struct {
	t      *testing.T
	folder string
	server *npmtest.Server
	join   func(args ...string) *terminal

	ada, bob, cy *terminal
	bobs         string // his token
}

// Whoever follows docs/daily.md from its first line to its last sees what it promises.
func TestGuide(t *testing.T) {
	node := suite.Node(t)
	text, err := os.ReadFile("../../../docs/daily.md")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := npmtest.Usher()
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{t: t, folder: t.TempDir()}
	g.join = func(args ...string) *terminal {
		t.Helper()
		return run(t, g.folder, binary, append([]string{"join", "--url", "ws://" + g.server.Addr}, args...)...)
	}
	programs := []func(*terminal, func() *terminal){g.backend, g.signed, nil}
	seen := map[string]bool{}
	for _, s := range steps(string(text)) {
		if s.program != "" {
			if len(programs) == 0 {
				t.Fatalf("a program that nobody runs:\n%s", s.program)
			}
			then := programs[0]
			programs = programs[1:]
			name := fmt.Sprintf("program%d.mjs", len(programs))
			if err := os.WriteFile(filepath.Join(g.folder, name), []byte(g.here(s.program)), 0o600); err != nil {
				t.Fatal(err)
			}
			runs := func() *terminal { return run(t, g.folder, node, name) }
			first := runs()
			if then != nil {
				then(first, runs)
			} else if <-first.ended; first.all.String() != "" { // it only has something for others
				t.Errorf("%s says %s", name, first.all)
			}
			continue
		}
		then := g.lines()[s.line]
		if then == nil {
			t.Fatalf("a line that nobody runs: %s", s.line)
		}
		seen[s.line] = true
		then(g.do(s.line))
	}
	if len(programs) > 0 {
		t.Errorf("the guide lacks %d programs", len(programs))
	}
	for line := range g.lines() {
		if !seen[line] {
			t.Errorf("the guide lacks the line %s", line)
		}
	}
}

// here is a text with the address of the server that is used.
func (g *guide) here(text string) string {
	return strings.ReplaceAll(text, "http://127.0.0.1:7880", g.server.URL())
}

// do runs a line that calls an API, and returns the answer.
func (g *guide) do(line string) string {
	g.t.Helper()
	if m := call.FindStringSubmatch(line); m != nil {
		return g.send(m[1], g.server.URL()+"/v1/"+m[2], m[3])
	}
	if m := curl.FindStringSubmatch(line); m != nil {
		return g.send(cmp.Or(m[1], map[bool]string{true: http.MethodPost, false: http.MethodGet}[m[3] != ""]), g.here(m[2]), m[3])
	}
	return ""
}

func (g *guide) send(method, url, body string) string {
	g.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer daily_dev_secret")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s %s: %d %s", method, url, body, res.StatusCode, answer)
	}
	return string(answer)
}

// backend is what the guide promises of its first program, which may be run again.
func (g *guide) backend(backend *terminal, again func() *terminal) {
	g.t.Helper()
	tokens := map[string]string{}
	for _, program := range []*terminal{backend, again()} {
		for _, who := range []string{"Ada", "Bob"} {
			tokens[who] = link.FindStringSubmatch(program.prints(who + ": " + g.server.URL() + "/standup?t="))[1]
		}
		program.prints("Somebody who knocks: " + g.server.URL() + "/standup#name=Eve")
	}
	g.bobs = tokens["Bob"]
	g.ada, g.bob = g.join("--token", tokens["Ada"]), g.join("--token", g.bobs)
	g.ada.prints("you are ada (Ada) in room standup")
	g.bob.prints("you are bob (Bob) in room standup")
	eve := g.join("--room", "standup", "--name", "Eve")
	eve.prints("you wait to be let in")
	g.ada.prints("Eve", "waits to be let in")
	g.ada.types("/admit Eve")
	eve.prints("(Eve) in room standup")
}

// signed is what it promises of its second.
func (g *guide) signed(signed *terminal, _ func() *terminal) {
	g.t.Helper()
	g.cy = g.join("--token", signed.prints("eyJ"))
	g.cy.prints("you are cy (Cy) in room standup")
}

// lines is what it promises of each line for the shell.
func (g *guide) lines() map[string]func(answer string) {
	has := func(answer string, want ...string) {
		g.t.Helper()
		for _, w := range want {
			if !strings.Contains(answer, w) {
				g.t.Errorf("no %s in %s", w, answer)
			}
		}
	}
	const waiting = `curl -s http://127.0.0.1:7880/usher/v1/rooms/standup/waiting -H "Authorization: Bearer daily_dev_secret"`
	return map[string]func(string){
		"make run": func(string) { g.server = suite.Server(g.t, g.t.TempDir()) },
		"npm install jsonwebtoken": func(string) { // is in this folder already
			modules, err := filepath.Abs("node_modules")
			if err == nil {
				err = os.Symlink(modules, filepath.Join(g.folder, "node_modules"))
			}
			if err != nil {
				g.t.Fatal(err)
			}
		},
		"daily GET rooms/standup/presence": func(answer string) {
			has(answer, `"userName":"Bob"`, `"userName":"Cy"`, `"total_count":4`)
		},
		`daily POST rooms/standup/update-permissions '{"data":{"*":{"canSend":["audio"]}}}'`: func(string) {
			g.bob.prints("your permissions changed", "microphone")
		},
		`daily POST rooms/standup/send-app-message '{"data":{"hello":"world"}}'`: func(string) {
			for _, c := range []*terminal{g.ada, g.bob, g.cy} {
				c.prints(`{"hello":"world"}`)
			}
		},
		`daily POST rooms/standup/eject '{"user_ids":["bob"]}'`: func(string) {
			g.bob.prints("closed: an administrator put you out")
			g.bob = g.join("--token", g.bobs)
			g.bob.prints("you are bob (Bob) in room standup")
		},
		`daily POST meeting-tokens/revoke '{"room_name":"standup","user_id":"bob"}'`: func(string) {
			g.bob.prints("closed: the token was revoked")
			g.join("--token", g.bobs).prints("closed: the token was revoked")
			g.join("--room", "standup", "--name", "Fay").prints("you wait to be let in")
			g.ada.prints("Fay", "waits to be let in")
		},
		waiting: func(answer string) { has(answer, `"name":"Fay"`) },
		waiting + ` -d '{"admit":"all"}'`: func(answer string) {
			has(answer, `"answered":["PA_`)
			g.ada.prints("Fay", "joined")
		},
		`curl -s -X PATCH http://127.0.0.1:7880/usher/v1/rooms/standup/participants/ada -H "Authorization: Bearer daily_dev_secret" -d '{"willEjectAt":2000000000000}'`: func(string) {
			g.ada.prints("you may now stay until")
		},
		"daily DELETE rooms/standup": func(string) {
			for _, c := range []*terminal{g.ada, g.cy} {
				c.prints("closed: the room was deleted")
			}
		},
	}
}
