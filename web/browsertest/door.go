package browsertest

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// A Door passes connections on to a server. It can cut them, and stay shut. Its
// methods may be called concurrently.
type Door struct {
	listener net.Listener
	mu       sync.Mutex
	to       string // empty while it is shut
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

// NewDoor returns a door that is shut. It ends with the test.
func NewDoor(t testing.TB) *Door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &Door{listener: l, conns: map[net.Conn]struct{}{}}
	d.wg.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				d.wg.Go(func() { d.pass(c) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		d.Shut()
		d.wg.Wait()
	})
	return d
}

// URL is where the door is.
func (d *Door) URL() string { return "http://" + d.listener.Addr().String() }

// Lead opens it: who comes is led to the server at that address.
func (d *Door) Lead(to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
}

// Cut ends all connections, without a word.
func (d *Door) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Close()
	}
}

// Shut cuts, and lets nobody in until it leads somewhere again.
func (d *Door) Shut() {
	d.Lead("")
	d.Cut()
}

func (d *Door) pass(in net.Conn) {
	defer in.Close()
	out := d.enter(in)
	if out == nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, in)
	delete(d.conns, out)
}

func (d *Door) enter(in net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.to == "" {
		return nil
	}
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return nil
	}
	d.conns[in], d.conns[out] = struct{}{}, struct{}{}
	return out
}
