package loadtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Server is something that can be measured, as often as wished.
type Server struct {
	Name string
	// Start returns where it is. stop ends what Start began.
	Start func(ctx context.Context) (t Target, stop func(), err error)
}

// Running is a server that somebody else started.
func Running(t Target) Server {
	return Server{t.Name, func(context.Context) (Target, func(), error) { return t, func() {}, nil }}
}

// Child is a server that is started anew for each run, by a command that prints
// its address, http://HOST:PORT, on a line of its standard output. t says all
// else of it.
func Child(t Target, errs io.Writer, program string, args ...string) Server {
	return Server{t.Name, func(ctx context.Context) (Target, func(), error) {
		started, stop, err := startChild(ctx, errs, program, args)
		if err != nil {
			return t, nil, fmt.Errorf("starting %s: %w", t.Name, err)
		}
		t := t
		t.URL, t.PID, t.Disposable = started.url, started.pid, true
		return t, stop, nil
	}}
}

const (
	childStart = 20 * time.Second
	childStop  = 3 * time.Second
)

type child struct {
	url string
	pid int
}

func startChild(ctx context.Context, errs io.Writer, program string, args []string) (child, func(), error) {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = childAttributes()
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return child{}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return child{}, nil, err
	}
	address := make(chan string, 1)
	exited := make(chan struct{})
	go func() { // ends with the process
		defer close(exited)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, after, ok := strings.Cut(lines.Text(), "http://"); ok {
				where, _, _ := strings.Cut(after, " ")
				select {
				case address <- "http://" + where:
				default: // there are more lines with addresses
				}
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(childStop):
			_ = cmd.Process.Kill()
			<-exited
		}
	}
	timeout := time.NewTimer(childStart)
	defer timeout.Stop()
	select {
	case url := <-address:
		return child{url, cmd.Process.Pid}, stop, nil
	case <-exited:
		err = errors.New("it ended at once")
	case <-timeout.C:
		err = errors.New("it did not tell its address")
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	return child{}, nil, err
}
