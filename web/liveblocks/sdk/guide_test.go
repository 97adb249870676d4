package sdk_test

import (
	"bufio"
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
	end   func()
}

func run(t *testing.T, folder, file string, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, name: strings.Join(append([]string{file}, args...), " "), lines: make(chan string, 1000), all: new(npmtest.Buffer)}
	cmd := exec.Command(suite.Node(t), append([]string{file}, args...)...)
	cmd.Dir = folder
	cmd.Stderr = c.all
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the process's output
		defer close(done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			_, _ = fmt.Fprintln(c.all, lines.Text())
			c.lines <- lines.Text()
		}
	}()
	ended := false
	c.end = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			<-done
			_ = cmd.Wait() // was killed
		}
	}
	t.Cleanup(c.end)
	return c
}

// prints waits for a line that begins like that.
func (c *terminal) prints(begin string) string {
	c.t.Helper()
	watchdog := time.NewTimer(npmtest.Patience)
	defer watchdog.Stop()
	for {
		select {
		case line := <-c.lines:
			if strings.HasPrefix(line, begin) {
				return line
			}
		case <-watchdog.C:
			c.t.Fatalf("%s does not print %q; it said:\n%s", c.name, begin, c.all)
		}
	}
}

var (
	program = regexp.MustCompile("(?s)```js\n(.*?)```")
	edit    = regexp.MustCompile(`(?m)^room '(.*?)' `)
)

// Whoever follows docs/liveblocks.md sees what it promises.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../../../docs/liveblocks.md")
	if err != nil {
		t.Fatal(err)
	}
	programs, changes := program.FindAllStringSubmatch(string(text), -1), edit.FindAllStringSubmatch(string(text), -1)
	if len(programs) < 2 || len(changes) != 4 {
		t.Fatalf("the guide has %d programs and %d changes, want a backend, a client, and four", len(programs), len(changes))
	}
	usher := suite.Server(t, t.TempDir())
	folder := t.TempDir()
	modules, err := filepath.Abs("node_modules")
	if err == nil {
		err = os.Symlink(modules, filepath.Join(folder, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// write saves a program of the guide, with addresses of the test for its own.
	write := func(file, code, address, instead string) {
		t.Helper()
		if strings.Count(code, address) != 1 {
			t.Fatalf("%s has %q %d times, want once", file, address, strings.Count(code, address))
		}
		code = strings.NewReplacer("http://127.0.0.1:7880", usher.URL(), address, instead).Replace(code)
		if err := os.WriteFile(filepath.Join(folder, file), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The application's own backend listens where nobody else does, and says where.
	const listens = "listens on port "
	write("server.mjs", programs[0][1], "listen(3000)", `listen(0, function () { console.log("`+listens+`" + this.address().port); })`)
	port := strings.TrimPrefix(run(t, folder, "server.mjs").prints(listens), listens)
	write("client.mjs", programs[1][1], "127.0.0.1:3000", "127.0.0.1:"+port)
	change := func(n int) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, usher.URL()+"/v2/rooms/acme%3Adoc%2F1", strings.NewReader(changes[n][1]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk_dev_secret")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", changes[n][1], res.StatusCode, body)
		}
	}

	ada := run(t, folder, "client.mjs", "ada")
	ada.prints("I am ada and may write")
	bob := run(t, folder, "client.mjs", "bob")
	bob.prints("I am bob and may read")
	ada.prints(`others: [["bob"`)
	ada.prints("bob says")
	change(0)
	bob.prints("I am bob and may write")
	change(1)
	if line := bob.prints("refused: "); !strings.HasSuffix(line, " 4001") {
		t.Errorf("bob is told %q", line)
	}
	bob.end()
	change(2)
	bob = run(t, folder, "client.mjs", "bob")
	bob.prints("I am bob and may read")
	change(3)
	ada.prints("refused: ")
}
