package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"usher/room/store"
)

// lived makes a store with a past: records of all sizes, some written over, some dropped.
func lived(t testing.TB, rooms int) (dir string, want map[string]string) {
	t.Helper()
	dir = t.TempDir()
	f := open(t, dir)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range rooms {
		id := fmt.Sprintf("RM_%04d", i)
		r := &store.Room{ID: id, Project: "acme", Name: fmt.Sprint("room", i),
			LiveKit: &store.LiveKitRoom{SID: id, Created: at, Metadata: strings.Repeat("m", i*37%2000)}}
		p := &store.Person{Room: id, Identity: "ada", Statements: []store.Statement{{At: at, Life: id, By: "backend"}}}
		v := &store.Revocation{ID: fmt.Sprint("RV_", i), Project: "acme", Identity: "eve", Until: at.Unix(), Made: at}
		f.Commit(r.Put(), p.Put(), v.Put(), set(store.Deliveries, id, `{"event":"room_started"}`))
		if i%8 == 0 { // not one transaction, nor one for each
			commit(t, f, drop(store.Deliveries, id), v.Put())
		}
	}
	commit(t, f)
	want = content(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

func db(dir string) string { return filepath.Join(dir, "usher.db") }

// mustRefuse wants a start to say that the store is damaged, and what to do.
func mustRefuse(t testing.TB, dir string, words ...string) {
	t.Helper()
	f, err := store.Open(dir, store.Options{})
	if err == nil {
		_ = f.Close()
		t.Fatal("a damaged store was opened")
	}
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatal("got", err)
	}
	for _, word := range append(words, "usher store repair --data "+dir) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got %q, want %q in it", err, word)
		}
	}
}

// write replaces what a file holds, in place: a new one would be flushed to the
// disk, which is slow.
func write(t testing.TB, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data, 0)
	if err = errors.Join(err, f.Truncate(int64(len(data))), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A flipped byte is found, or it is where nothing is.
func TestFlippedByte(t *testing.T) {
	for _, rooms := range []int{2, 60} { // buckets inside of the root's page, and of their own
		t.Run(fmt.Sprint(rooms), func(t *testing.T) {
			dir, want := lived(t, rooms)
			whole := read(t, db(dir))
			seed := rand.Uint64()
			t.Log("seed", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var places []int
			for at := range 100 { // both metas
				places = append(places, at, 4096+at)
			}
			for page := 2 * 4096; page < len(whole); page += 4096 { // heads and first elements of pages
				places = append(places, page+r.IntN(16), page+16+r.IntN(64))
			}
			for range 150 {
				places = append(places, r.IntN(len(whole)))
			}
			if testing.Short() {
				r.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
				places = places[:100]
			}
			refused := 0
			for _, at := range places {
				broken := bytes.Clone(whole)
				broken[at] ^= byte(1 + r.IntN(255))
				write(t, db(dir), broken)
				f, err := store.Open(dir, store.Options{})
				if err != nil {
					if !errors.Is(err, store.ErrDamaged) {
						t.Fatalf("byte %d: %v", at, err)
					}
					refused++
					continue
				}
				got := content(t, f)
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(got, want) {
					t.Fatalf("byte %d: opened with %d records, want %d", at, len(got), len(want))
				}
			}
			t.Logf("%d of %d flips refused, the others changed nothing", refused, len(places))
			if refused == 0 {
				t.Error("none was refused")
			}
		})
	}
}

func TestBothMetasMustBeValid(t *testing.T) {
	dir, _ := lived(t, 20)
	whole := read(t, db(dir))
	for _, at := range []int{16, 16 + 48, 16 + 63, 4096 + 16, 4096 + 16 + 48, 4096 + 16 + 63} {
		broken := bytes.Clone(whole)
		broken[at] ^= 1
		write(t, db(dir), broken)
		mustRefuse(t, dir, fmt.Sprintf("meta page %d is broken", at/4096), db(dir))
	}
}

func TestCutShort(t *testing.T) {
	dir, want := lived(t, 150)
	whole := read(t, db(dir))
	for size := 0; size < len(whole); size += 1 + len(whole)/97 {
		write(t, db(dir), whole[:size])
		f, err := store.Open(dir, store.Options{})
		if err == nil { // what is cut off was never used
			wantContent(t, f, want)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if size < len(whole)/2 && err == nil {
			t.Errorf("half of the file is gone, but it was opened")
		}
	}
}

// A page as it was several transactions ago: a write was lost, or went to the
// wrong place. (The newest meta page as it was before the last transaction is what a
// crash before its write leaves: nothing can tell these apart.)
func TestOldPage(t *testing.T) {
	dir, want := lived(t, 150)
	before := read(t, db(dir))
	f := open(t, dir)
	for i := range 150 {
		ticket := f.Commit(drop(store.Revocations, fmt.Sprint("RV_", i)))
		if i%30 == 0 {
			<-ticket.Done()
		}
		delete(want, fmt.Sprint("revocations RV_", i))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	after := read(t, db(dir))
	refused := 0
	for at := 0; at < min(len(before), len(after)); at += 4096 {
		if bytes.Equal(before[at:at+4096], after[at:at+4096]) {
			continue
		}
		mixed := bytes.Clone(after)
		copy(mixed[at:at+4096], before[at:])
		write(t, db(dir), mixed)
		f, err := store.Open(dir, store.Options{})
		if errors.Is(err, store.ErrDamaged) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, f, want)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("none was refused")
	}
}

func TestMissingFiles(t *testing.T) {
	dir, _ := lived(t, 3)
	other, _ := lived(t, 4)
	whole, marker := read(t, db(dir)), filepath.Join(dir, "usher.store")

	if err := os.Remove(db(dir)); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, dir, "usher.db is missing from "+dir+", which was in use; restore it")

	copyTo(t, db(other), db(dir))
	mustRefuse(t, dir, "it is another store's")

	write(t, db(dir), whole)
	text := read(t, marker)
	write(t, marker, []byte("{"))
	mustRefuse(t, dir, "usher.store cannot be read")
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, dir, "usher.store is missing")
	write(t, marker, text)
	open(t, dir)
}

// A value, found by what is in it, is named.
func TestBrokenValueIsNamed(t *testing.T) {
	dir, want := lived(t, 150)
	spoil(t, dir, `"id":"RV_77"`)
	mustRefuse(t, dir, `record "RV_77" in revocations is broken: its checksum does not match`, db(dir))

	rep, err := store.Check(dir)
	if err != nil || rep.Sound() {
		t.Fatal(rep, err)
	}
	if got := fmt.Sprint(rep.Buckets); !strings.Contains(got, "{revocations 149 [RV_77] 0}") || !strings.Contains(got, "{rooms 150 [] 0}") {
		t.Error("got", got)
	}
	var out bytes.Buffer
	if err := store.Export(dir, &out); !errors.Is(err, store.ErrDamaged) || bytes.Count(out.Bytes(), []byte("\n")) != len(want)-1 {
		t.Errorf("got %v and %d bytes", err, out.Len())
	}
	rep, err = store.Repair(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(rep.Damaged); err != nil {
		t.Error("the damaged file:", err)
	}
	delete(want, "revocations RV_77")
	wantContent(t, open(t, dir), want)
}

// spoil changes every place in the file that has text, old versions too.
func spoil(t testing.TB, dir, text string) {
	t.Helper()
	data := read(t, db(dir))
	if !bytes.Contains(data, []byte(text)) {
		t.Fatalf("the file has no %q", text)
	}
	write(t, db(dir), bytes.ReplaceAll(data, []byte(text), []byte(strings.ToUpper(text))))
}

// Whatever is wrong, after a repair the store opens, with no record that was not there.
func TestRepair(t *testing.T) {
	dir, want := lived(t, 150)
	whole := read(t, db(dir))
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	damage := map[string]func([]byte) []byte{
		"nothing":   func(b []byte) []byte { return b[:0] },
		"noise":     func(b []byte) []byte { clear(b); return b },
		"half":      func(b []byte) []byte { return b[:len(b)/2] },
		"first":     func(b []byte) []byte { b[70] ^= 1; return b },
		"second":    func(b []byte) []byte { b[4096+70] ^= 1; return b },
		"checksums": func(b []byte) []byte { b[16+60] ^= 1; b[4096+16+60] ^= 1; return b },
		"metas":     func(b []byte) []byte { clear(b[:8192]); return b },
	}
	for i := range 12 {
		damage[fmt.Sprint("page", i)] = func(b []byte) []byte {
			at := 8192 + r.IntN(len(b)/4096-2)*4096
			clear(b[at : at+4096])
			return b
		}
	}
	all := map[string]bool{"first": true, "second": true, "checksums": true} // nothing is lost
	for name, spoil := range damage {
		write(t, db(dir), spoil(bytes.Clone(whole)))
		before, err := store.Check(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rep, err := store.Repair(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if before.Sound() != (rep.Damaged == "") {
			t.Errorf("%s: check says sound: %t, and repair made a copy: %q", name, before.Sound(), rep.Damaged)
		}
		f := open(t, dir)
		got := content(t, f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		old := len(rep.Notes) > 0
		for key, value := range got {
			if want[key] != value && !old {
				t.Errorf("%s: %s is %.50q, want %.50q", name, key, value, want[key])
			}
		}
		lost := 0
		for _, b := range rep.Buckets {
			lost += len(b.Lost) + b.Missing
		}
		if missing := len(want) - len(got); !old && missing != lost || all[name] && missing != 0 {
			t.Errorf("%s: %d records are missing, the report says %d: %v", name, missing, lost, rep)
		}
	}
}

func TestRepairOfTheFolder(t *testing.T) {
	dir, want := lived(t, 5)
	other, others := lived(t, 7)
	marker := filepath.Join(dir, "usher.store")
	repair := func(want map[string]string) {
		t.Helper()
		mustRefuse(t, dir)
		rep, err := store.Repair(dir)
		if err != nil || rep.Sound() {
			t.Fatal(rep, err)
		}
		f := open(t, dir)
		wantContent(t, f, want)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if rep, err := store.Repair(dir); err != nil || !rep.Sound() || rep.Damaged != "" {
			t.Error("repaired again:", rep, err)
		}
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	repair(want)
	write(t, marker, nil)
	repair(want)
	copyTo(t, db(other), db(dir))
	repair(others)
	if err := os.Remove(db(dir)); err != nil {
		t.Fatal(err)
	}
	repair(map[string]string{})

	empty := t.TempDir()
	if _, err := store.Repair(empty); err == nil || errors.Is(err, store.ErrDamaged) {
		t.Error("repairing no store:", err)
	}
	if _, err := store.Check(filepath.Join(empty, "nowhere")); err == nil {
		t.Error("checked what is not there")
	}
}

// What is whole but means nothing stops a start later, so a check tells it too.
func TestMeaningless(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	commit(t, f, set(store.RoomRecords, "a", `{"id":"b","name":"x"}`), set(store.Deliveries, "c", "no JSON"),
		set(store.Statements, "r/ada", `{"room":"r","identity":"ada","statements":[{"deny":["to fly"]}]}`),
		set(store.RoomRecords, "d", `{"id":"d","name":"x"}`))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := store.Check(dir)
	if err != nil || len(rep.Problems) != 3 {
		t.Fatal(rep, err)
	}
	if _, err := store.Repair(dir); err != nil {
		t.Fatal(err)
	}
	wantContent(t, open(t, dir), map[string]string{"rooms d": `{"id":"d","name":"x"}`})
}

func TestExport(t *testing.T) {
	dir, want := lived(t, 30)
	var out bytes.Buffer
	if err := store.Export(dir, &out); err != nil {
		t.Fatal(err)
	}
	got, revisions := make(map[string]string), make(map[uint64]bool)
	for line := range bytes.Lines(out.Bytes()) {
		var r struct {
			Bucket, Key string
			Revision    uint64
			Value       json.RawMessage
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		got[r.Bucket+" "+r.Key] = string(r.Value)
		revisions[r.Revision] = true
	}
	if !maps.Equal(got, want) || len(revisions) != len(want) {
		t.Errorf("got %d records, want %d; %d revisions", len(got), len(want), len(revisions))
	}
}
