package npmtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// command is the built command, which all tests share.
var command struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Usher builds the command, once, and returns its path. Whether it has to be built
// again and the tests to be run again is decided by the go command: it notes which
// files a test looks at, and these are all that matter.
func Usher() (string, error) {
	command.once.Do(func() {
		root := filepath.Join("..", "..", "..") // from the folder of a suite
		command.err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "node_modules", d.IsDir() && d.Name() == ".git":
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			_, err = os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) { // another test's
				return nil
			}
			return err
		})
		if command.err != nil {
			return
		}
		if command.dir, command.err = os.MkdirTemp("", "usher-npmtest-"); command.err != nil {
			return
		}
		command.path = filepath.Join(command.dir, "usher")
		args := []string{"build", "-o", command.path}
		if raceDetector {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, "usher/cmd/usher")...).CombinedOutput(); err != nil {
			command.err = fmt.Errorf("building usher: %w\n%s", err, out)
		}
	})
	return command.path, command.err
}

// A Server is usher for development, in a process of its own.
type Server struct {
	Addr string // HOST:PORT
	cmd  *exec.Cmd
	log  *Buffer
	done chan struct{} // closed when the process has ended, and all is read
}

// URL is where the server is.
func (s *Server) URL() string { return "http://" + s.Addr }

var listening = regexp.MustCompile(`msg=listening.* addr=(\S+)`)

// Start starts a server whose durable state is in a folder: one for development,
// unless a configuration is given. It ends with the test, and has logged no token
// and no secret.
func (suite Suite) Start(t testing.TB, data string, args ...string) (*Server, error) {
	path, err := Usher()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = []string{"--dev"}
	}
	cmd := exec.Command(path, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data, "--log-level", "debug"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{cmd: cmd, log: new(Buffer), done: make(chan struct{})}
	addr := make(chan string, 1)
	go func() { // ends with the process's output
		defer close(s.done)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			_, _ = s.log.Write([]byte(line))
			if m := listening.FindStringSubmatch(line); m != nil {
				select {
				case addr <- m[1]:
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		log := s.log.String()
		for _, secret := range suite.Secrets {
			if i := strings.Index(log, secret); i >= 0 {
				t.Errorf("the log holds %q: …%s…", secret, log[max(0, i-200):min(len(log), i+100)])
			}
		}
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
			t.Errorf("the server says:\n%s", log)
		} else if t.Failed() {
			t.Logf("the end of the server's log:\n%s", log[max(0, len(log)-10000):])
		}
	})
	watchdog := time.NewTimer(Patience)
	defer watchdog.Stop()
	select {
	case s.Addr = <-addr:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the server has ended:\n%s", s.log)
	case <-watchdog.C:
		return nil, fmt.Errorf("the server does not listen:\n%s", s.log)
	}
}

// Server starts a server as [Suite.Start] does, or fails the test.
func (suite Suite) Server(t testing.TB, data string, args ...string) *Server {
	t.Helper()
	s, err := suite.Start(t, data, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Kill ends the process as kill -9 does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
	_ = s.cmd.Wait() // was killed, and says so
}

// Stop ends the process in good order, unless it has ended.
func (s *Server) Stop() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	watchdog := time.AfterFunc(Patience, func() { _ = s.cmd.Process.Signal(syscall.SIGQUIT) })
	defer watchdog.Stop()
	<-s.done
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	return nil
}
