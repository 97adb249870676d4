package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"usher/room/store"
)

// kinds are the stores that behave alike. Reopen is nil where nothing stays.
var kinds = map[string]func(t *testing.T) (s store.Store, reopen func() store.Store){
	"memory": func(*testing.T) (store.Store, func() store.Store) { return store.NewMemory(), nil },
	"file": func(t *testing.T) (store.Store, func() store.Store) {
		dir := t.TempDir()
		s := open(t, dir)
		return s, func() store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			return s
		}
	},
}

func each(t *testing.T, test func(t *testing.T, s store.Store, reopen func() store.Store)) {
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			s, reopen := make(t)
			if reopen == nil {
				reopen = func() store.Store { return s }
			}
			test(t, s, reopen)
		})
	}
}

func open(t testing.TB, dir string) *store.File {
	t.Helper()
	return openWith(t, dir, store.Options{})
}

func openWith(t testing.TB, dir string, o store.Options) *store.File {
	t.Helper()
	f, err := store.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func set(b store.Bucket, key, value string) store.Change {
	return store.Change{Bucket: b, Key: key, Value: []byte(value)}
}

func drop(b store.Bucket, key string) store.Change { return store.Change{Bucket: b, Key: key} }

func commit(t testing.TB, s store.Store, changes ...store.Change) {
	t.Helper()
	if err := s.Commit(changes...).Wait(); err != nil {
		t.Fatal(err)
	}
}

// content is all records, by bucket and key.
func content(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, b := range store.Buckets {
		var keys []string
		err := s.Load(b, func(key string, value []byte) error {
			keys = append(keys, key)
			all[string(b)+" "+key] = string(value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(keys) {
			t.Errorf("the keys of %s are not in order", b)
		}
	}
	return all
}

func wantContent(t testing.TB, s store.Store, want map[string]string) {
	t.Helper()
	got := content(t, s)
	if maps.Equal(got, want) {
		return
	}
	t.Errorf("got %d records, want %d", len(got), len(want))
	all := maps.Clone(got)
	maps.Copy(all, want)
	shown := 0
	for key := range all {
		if got[key] != want[key] && shown < 5 {
			shown++
			t.Errorf("%.50s: got %.80q, want %.80q", key, got[key], want[key])
		}
	}
}

func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, reopen func() store.Store) {
		wantContent(t, s, map[string]string{})
		commit(t, s, set(store.RoomRecords, "a", "1"), set(store.Statements, "a", "2"), set(store.RoomRecords, "b", "3"))
		commit(t, s, set(store.RoomRecords, "a", "4"), drop(store.RoomRecords, "b"), drop(store.Revocations, "none"))
		want := map[string]string{"rooms a": "4", "statements a": "2"}
		wantContent(t, s, want)
		s = reopen()
		wantContent(t, s, want)
		commit(t, s, set(store.Revocations, "x", ""), drop(store.Statements, "a"))
		s = reopen()
		wantContent(t, s, map[string]string{"rooms a": "4", "revocations x": ""})
		commit(t, s) // nothing
	})
}

func TestLastChangeWins(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, reopen func() store.Store) {
		var last *store.Ticket
		for i := range 1000 { // many in one transaction
			last = s.Commit(set(store.RoomRecords, "a", fmt.Sprint(i)), set(store.RoomRecords, "b", "x"), drop(store.RoomRecords, "b"))
		}
		if err := last.Wait(); err != nil {
			t.Fatal(err)
		}
		wantContent(t, reopen(), map[string]string{"rooms a": "999"})
	})
}

func TestBigAndMany(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, reopen func() store.Store) {
		want := make(map[string]string)
		var tickets []*store.Ticket
		put := func(b store.Bucket, key, value string) {
			want[string(b)+" "+key] = value
			tickets = append(tickets, s.Commit(set(b, key, value)))
		}
		for i := range 5000 {
			put(store.Statements, fmt.Sprintf("room/%d", i), fmt.Sprintf(`{"n":%d}`, i))
		}
		for i := range 20 {
			put(store.RoomRecords, fmt.Sprint(i), strings.Repeat("v", 1<<uint(i)))
		}
		put(store.RoomRecords, strings.Repeat("k", 32<<10), "long key")
		for i := range 4000 {
			delete(want, fmt.Sprintf("statements room/%d", i))
			tickets = append(tickets, s.Commit(drop(store.Statements, fmt.Sprintf("room/%d", i))))
		}
		for _, ticket := range tickets {
			if err := ticket.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		wantContent(t, reopen(), want)
	})
}

func TestRefusedChanges(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, reopen func() store.Store) {
		for name, c := range map[string]store.Change{
			"bucket":     set("nonsense", "a", "1"),
			"no key":     set(store.RoomRecords, "", "1"),
			"long key":   set(store.RoomRecords, strings.Repeat("k", 32<<10+1), "1"),
			"long value": {Bucket: store.RoomRecords, Key: "a", Value: make([]byte, 64<<20+1)},
		} {
			if err := s.Commit(set(store.RoomRecords, "with", "it"), c).Wait(); err == nil {
				t.Errorf("%s: the change was taken", name)
			}
		}
		wantContent(t, reopen(), map[string]string{})
	})
}

func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, _ func() store.Store) {
		ticket := s.Commit(set(store.RoomRecords, "a", "1"))
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		<-ticket.Done()
		if err := ticket.Wait(); err != nil {
			t.Error("what was queued before Close:", err)
		}
		if err := s.Commit(set(store.RoomRecords, "b", "1")).Wait(); !errors.Is(err, store.ErrClosed) {
			t.Error("Commit after Close:", err)
		}
		if err := s.Load(store.RoomRecords, func(string, []byte) error { return nil }); !errors.Is(err, store.ErrClosed) {
			t.Error("Load after Close:", err)
		}
	})
	var none *store.Ticket
	<-none.Done()
	if err := none.Wait(); err != nil {
		t.Error("a nil ticket:", err)
	}
}

func TestLoadUsesTheStore(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, _ func() store.Store) {
		commit(t, s, set(store.RoomRecords, "a", "1"), set(store.RoomRecords, "b", "1"))
		stop := errors.New("stop")
		big := bytes.Repeat([]byte("x"), 1<<20) // so much that the file is mapped anew
		err := s.Load(store.RoomRecords, func(key string, _ []byte) error {
			commit(t, s, drop(store.RoomRecords, key), store.Change{Bucket: store.Deliveries, Key: key, Value: big})
			return stop
		})
		if err != stop {
			t.Error("got", err)
		}
		if got := content(t, s); got["rooms a"] != "" || got["rooms b"] != "1" || len(got["deliveries a"]) != 1<<20 {
			t.Errorf("got %d records", len(got))
		}
	})
}

// Each writer moves its record between two buckets: at any moment it is in one.
func TestAtomicAndConcurrent(t *testing.T) {
	each(t, func(t *testing.T, s store.Store, reopen func() store.Store) {
		const writers, rounds = 32, 30
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				key := fmt.Sprint("w", w)
				for i := range rounds {
					from, to := store.Deliveries, store.Announced
					if i%2 == 1 {
						from, to = to, from
					}
					if err := s.Commit(drop(from, key), set(to, key, fmt.Sprint(i))).Wait(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for range 50 {
				seen := make(map[string]int)
				for _, b := range []store.Bucket{store.Deliveries, store.Announced} {
					_ = s.Load(b, func(key string, _ []byte) error { seen[key]++; return nil })
				}
			}
		})
		wg.Wait()
		want := make(map[string]string)
		for w := range writers {
			want[fmt.Sprintf("deliveries w%d", w)] = fmt.Sprint(rounds - 1)
		}
		wantContent(t, reopen(), want)
	})
}
