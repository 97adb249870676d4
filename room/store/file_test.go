package store_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"usher/room/store"
)

// A burst that comes while the disk syncs is a few transactions.
func TestGroupCommit(t *testing.T) {
	var syncs atomic.Int32
	queued := make(chan struct{}) // closed when all are
	f := openWith(t, t.TempDir(), store.Options{Around: func(write func() error) error {
		syncs.Add(1)
		<-queued // the first sync takes that long
		return write()
	}})
	var calls, wg sync.WaitGroup
	calls.Add(1000)
	for i := range 1000 {
		wg.Go(func() {
			ticket := f.Commit(set(store.Statements, fmt.Sprintf("room/%d", i), "{}"))
			calls.Done()
			if err := ticket.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	close(queued)
	wg.Wait()
	if n := syncs.Load(); n > 2 {
		t.Errorf("1000 commits took %d transactions, want 2 at most", n)
	}
	if n := len(content(t, f)); n != 1000 {
		t.Errorf("got %d records", n)
	}
}

// Tickets are settled in the order of the commits, whatever groups they are in.
func TestTicketsInOrder(t *testing.T) {
	f := open(t, t.TempDir())
	var tickets []*store.Ticket
	for i := range 30000 { // more than a group takes
		tickets = append(tickets, f.Commit(set(store.Deliveries, fmt.Sprint(i%100), fmt.Sprint(i))))
	}
	for i := len(tickets) - 1; i > 0; i -= 997 {
		<-tickets[i].Done()
		select {
		case <-tickets[i-1].Done():
		default:
			t.Fatalf("commit %d is settled before %d", i, i-1)
		}
	}
}

// A write that fails before it is in the file fails its group, and no other.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	full := errors.New("disk full")
	var fail atomic.Bool
	f := openWith(t, dir, store.Options{Around: func(write func() error) error {
		if fail.Load() {
			return full
		}
		return write()
	}})
	commit(t, f, set(store.RoomRecords, "a", "1"))
	for range 3 {
		fail.Store(true)
		err := f.Commit(set(store.RoomRecords, "a", "2"), set(store.RoomRecords, "b", "2")).Wait()
		if !errors.Is(err, full) || errors.Is(err, store.ErrBroken) {
			t.Fatal("got", err)
		}
		wantContent(t, f, map[string]string{"rooms a": "1"})
		fail.Store(false)
		commit(t, f, set(store.RoomRecords, "c", "3"))
		commit(t, f, drop(store.RoomRecords, "c"))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, open(t, dir), map[string]string{"rooms a": "1"})
}

// A write that may be in the file ends all writing, until a start has read it.
func TestUncertainWrite(t *testing.T) {
	for name, around := range map[string]func(func() error) error{
		"sync": func(write func() error) error { return errors.Join(write(), errors.New("sync failed")) },
		"panic": func(write func() error) error {
			if err := write(); err != nil {
				return err
			}
			panic("out of it")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var fail atomic.Bool
			f := openWith(t, dir, store.Options{Around: func(write func() error) error {
				if fail.Load() {
					return around(write)
				}
				return write()
			}})
			commit(t, f, set(store.RoomRecords, "a", "1"))
			fail.Store(true)
			if err := f.Commit(set(store.RoomRecords, "b", "2")).Wait(); !errors.Is(err, store.ErrBroken) {
				t.Fatal("got", err)
			}
			fail.Store(false)
			if err := f.Commit(set(store.RoomRecords, "c", "3")).Wait(); !errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "restart") {
				t.Fatal("got", err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			wantContent(t, open(t, dir), map[string]string{"rooms a": "1", "rooms b": "2"})
		})
	}
}

// A panic before anything was written, with bbolt's locks held.
func TestPanicInWrite(t *testing.T) {
	dir := t.TempDir()
	var fail atomic.Bool
	f := openWith(t, dir, store.Options{Around: func(write func() error) error {
		if fail.Load() {
			panic("a page is gone")
		}
		return write()
	}})
	commit(t, f, set(store.RoomRecords, "a", "1"))
	fail.Store(true)
	if err := f.Commit(set(store.RoomRecords, "b", "2")).Wait(); err == nil || errors.Is(err, store.ErrBroken) {
		t.Fatal("got", err)
	}
	if err := f.Commit(set(store.RoomRecords, "c", "3")).Wait(); !errors.Is(err, store.ErrBroken) {
		t.Fatal("got", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, open(t, dir), map[string]string{"rooms a": "1"})
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	commit(t, f, set(store.RoomRecords, "a", "1"))
	want := dir + " is in use by another process"
	for name, try := range map[string]func() error{
		"open":   func() error { _, err := store.Open(dir, store.Options{}); return err },
		"check":  func() error { _, err := store.Check(dir); return err },
		"repair": func() error { _, err := store.Repair(dir); return err },
		"export": func() error { return store.Export(dir, os.Stdout) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := try(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	modes := make(map[string]os.FileMode)
	for _, name := range []string{".", "usher.db", "usher.store", "usher.lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		modes[name] = info.Mode().Perm()
	}
	if want := (map[string]os.FileMode{".": 0o700, "usher.db": 0o600, "usher.store": 0o600, "usher.lock": 0o600}); !maps.Equal(modes, want) {
		t.Errorf("got %v, want %v", modes, want)
	}
}

// A start that is killed anywhere leaves what the next one goes on from.
func TestKilledFirstStart(t *testing.T) {
	made := t.TempDir()
	if err := open(t, made).Close(); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]map[string]string{
		"lock":       {"usher.lock": "usher.lock"},
		"half a db":  {"usher.db.new": "usher.store"},
		"whole db":   {"usher.db.new": "usher.db"},
		"renamed":    {"usher.db": "usher.db"},
		"new marker": {"usher.db": "usher.db", "usher.store.new": "usher.lock"},
		"all":        {"usher.db": "usher.db", "usher.store": "usher.store"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for to, from := range there {
				copyTo(t, filepath.Join(made, from), filepath.Join(dir, to))
			}
			f := open(t, dir)
			commit(t, f, set(store.RoomRecords, "a", "1"))
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			wantContent(t, open(t, dir), map[string]string{"rooms a": "1"})
			if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); left != nil {
				t.Errorf("%v was left", left)
			}
		})
	}
}

func copyTo(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
