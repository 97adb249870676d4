package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/room/store"
)

// children are what the test binary does as a process of its own.
var children = map[string]func(dir string){"write": writeUntilKilled, "fill": fillDisk}

// A pair is two records that one commit writes, and by which the record before
// in its line is dropped. A line has one commit under way at most.
const lines = 8

// patience only ends a test that has failed.
const patience = 30 * time.Second

func pair(line, n int) []store.Change {
	value := fmt.Sprintf(`{"n":%d,"text":%q}`, n, strings.Repeat("x", n%3000))
	return []store.Change{
		set(store.Statements, fmt.Sprintf("%d/%d", line, n), value),
		set(store.RoomRecords, fmt.Sprintf("line%d", line), value),
		drop(store.Statements, fmt.Sprintf("%d/%d", line, n-5)),
	}
}

// writeUntilKilled prints the line and number of each acknowledged commit.
func writeUntilKilled(dir string) {
	f, err := store.Open(dir, store.Options{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	for line := range lines {
		first := 0
		_ = f.Load(store.RoomRecords, func(key string, value []byte) error {
			if key == fmt.Sprintf("line%d", line) {
				_, _ = fmt.Sscanf(string(value), `{"n":%d`, &first)
			}
			return nil
		})
		wg.Go(func() {
			for n := first + 1; ; n++ {
				if err := f.Commit(pair(line, n)...).Wait(); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println(line, n) // one write
			}
		})
	}
	wg.Wait()
}

func child(t *testing.T, kind, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_CHILD="+kind, "STORE_DIR="+dir, "GOCOVERDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	return cmd
}

// What was acknowledged is there after kill -9, and of no commit a part.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	if os.Getenv("USHER_SOAK") == "1" {
		rounds = 200
	}
	var dir string
	var acked []int
	total, opened := 0, 0
	for round := range rounds {
		if round%10 == 0 { // first starts are killed, too
			dir, acked = t.TempDir(), make([]int, lines)
		}
		cmd := child(t, "write", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() { _ = cmd.Process.Kill() }
		timer := time.AfterFunc(patience, kill)
		if round%3 == 0 { // perhaps before it has opened
			timer.Reset(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
		}
		for in := bufio.NewScanner(out); in.Scan(); {
			if strings.HasPrefix(in.Text(), "error") {
				t.Error(in.Text())
			}
			if in.Text() == "open" {
				opened++
				if round%3 > 0 {
					timer.Reset(time.Duration(rand.Int64N(int64(100 * time.Millisecond))))
				}
			}
			if line, n, ok := strings.Cut(in.Text(), " "); ok {
				l, _ := strconv.Atoi(line)
				acked[l], _ = strconv.Atoi(n)
				total++
			}
		}
		_ = cmd.Wait() // killed
		timer.Stop()

		f, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := content(t, f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for line, n := range acked {
			var last int
			_, _ = fmt.Sscanf(got[fmt.Sprintf("rooms line%d", line)], `{"n":%d`, &last)
			if last != n && last != n+1 { // the last may have come without its acknowledgement
				t.Fatalf("line %d: %d was acknowledged, %d is there", line, n, last)
			}
			acked[line] = last
			for i := last - 6; i <= last+1; i++ {
				value, there := got[fmt.Sprintf("statements %d/%d", line, i)]
				if want := i > 0 && i > last-5 && i <= last; there != want || want && value != string(pair(line, i)[0].Value) {
					t.Fatalf("line %d: record %d is there: %t, though the last is %d", line, i, there, last)
				}
			}
		}
	}
	t.Logf("%d kills, %d of them of an open store; %d commits were acknowledged", rounds, opened, total)
	if opened == 0 || total == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// fillDisk writes until the disk is full, makes room and goes on.
func fillDisk(dir string) {
	const spare = "/spare"
	if err := mountSmall(dir); err != nil {
		fmt.Println("skip", err)
		return
	}
	if err := os.WriteFile(dir+spare, make([]byte, 1<<20), 0o600); err != nil {
		fmt.Println("error", err)
		return
	}
	if err := fill(dir, dir+spare); err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("ok")
}

func fill(dir, spare string) error {
	data := dir + "/data"
	f, err := store.Open(data, store.Options{})
	if err != nil {
		return err
	}
	want, failed := make(map[string]bool), 0
	write := func(i int) error {
		key := fmt.Sprint(i)
		err := f.Commit(set(store.Deliveries, key, strings.Repeat("x", 20000))).Wait()
		want[key] = err == nil
		return err
	}
	i := 0
	for ; failed < 5 && i < 1000; i++ {
		if err := write(i); errors.Is(err, store.ErrBroken) {
			return err
		} else if err != nil {
			failed++
		}
	}
	if failed == 0 {
		return errors.New("the disk was never full")
	}
	if err := os.Remove(spare); err != nil {
		return err
	}
	for end := i + 20; i < end; i++ {
		if err := write(i); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if f, err = store.Open(data, store.Options{}); err != nil {
		return err
	}
	got := make(map[string]bool)
	err = f.Load(store.Deliveries, func(key string, _ []byte) error { got[key] = true; return nil })
	for key, there := range want {
		if got[key] != there {
			return fmt.Errorf("record %s is there: %t, but its commit succeeded: %t", key, got[key], there)
		}
	}
	return errors.Join(err, f.Close())
}

func TestDiskFull(t *testing.T) {
	cmd := child(t, "fill", t.TempDir())
	if !isolate(cmd) {
		t.Log("NOT TESTED: no mounts on this system")
		return
	}
	out, err := cmd.Output()
	switch text := strings.TrimSpace(string(out)); {
	case strings.HasPrefix(text, "skip"), err != nil && text == "":
		t.Log("NOT TESTED: no small file system could be mounted:", text, err) // failing writes are, elsewhere
	case text != "ok":
		t.Error(text, err)
	}
}
