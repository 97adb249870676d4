package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"usher/room/store"
)

// storeIn makes a store with three rooms and a revocation.
func storeIn(t *testing.T, dir string) {
	t.Helper()
	f, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lab", "hall", "attic"} {
		if err := f.Commit((&store.Room{ID: "RM_" + name, Project: "acme", Name: name}).Put()).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit((&store.Revocation{ID: "RV_eve", Project: "acme", Identity: "eve"}).Put()).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCommands(t *testing.T) {
	dir := t.TempDir()
	storeIn(t, dir)
	db := filepath.Join(dir, "usher.db")
	play := func(code int, command string, words ...string) string {
		t.Helper()
		c := start(t, "store", command, "--data", dir)
		if got := c.wait(); got != code {
			t.Fatalf("usher store %s: exit code %d, want %d: %s%s", command, got, code, c.out.text(), c.err.text())
		}
		text := c.out.text() + c.err.text()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("usher store %s printed %q, want %q in it", command, text, word)
			}
		}
		return text
	}
	play(0, "check", "rooms: 3 whole\n", "revocations: 1 whole\n", db+" is sound\n")
	play(0, "repair", "nothing to do")
	if text := play(0, "export", `{"bucket":"revocations","key":"RV_eve","revision":4,"value":{"id":"RV_eve"`); strings.Count(text, "\n") != 4 {
		t.Errorf("got %q, want 4 lines", text)
	}

	data, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(db, bytes.ReplaceAll(data, []byte(`"name":"hall"`), []byte(`"name":"HALL"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	play(1, "check", `problem: record "RM_hall" in rooms is broken: its checksum does not match`, "rooms: 2 whole, 1 broken\n",
		"lost: rooms RM_hall\n", "usher: "+db+" is damaged", "usher: hint: ", "usher store repair --data "+dir)
	play(1, "export", `"key":"RM_lab"`, "usher: store: damaged: "+db)
	play(0, "repair", "lost: rooms RM_hall\n", "repaired "+db, "the damaged file is "+db+".damaged-")
	play(0, "check", "rooms: 2 whole\n")

	if err := os.Remove(db); err != nil {
		t.Fatal(err)
	}
	play(1, "check", "usher.db is missing from "+dir)
	play(0, "repair", "note: it is an empty store now\n")
	play(0, "check", "rooms: 0 whole\n")

	f, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	play(1, "check", dir+" is in use by another process")
}

// A server does not start on a store that is damaged or in use, and says what
// to do.
func TestServeRefusesTheStore(t *testing.T) {
	refuses := func(dir string, words ...string) {
		t.Helper()
		c := start(t, "serve", "--dev", "--addr", "127.0.0.1:0", "--data", dir)
		if got := c.wait(); got != exitFailure {
			t.Errorf("exit code %d, want %d", got, exitFailure)
		}
		for _, word := range words {
			if !strings.Contains(c.err.text(), word) {
				t.Errorf("it printed %q, want %q in it", c.err.text(), word)
			}
		}
	}
	dir := t.TempDir()
	storeIn(t, dir)
	used, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refuses(dir, "in use by another process")
	if err := used.Close(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "usher.db")
	content, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte("RV_eve"))
	content[at] ^= 1
	if err := os.WriteFile(db, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(dir, "damaged", "usher.db", "usher store repair --data "+dir)
}
