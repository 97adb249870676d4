package store

import (
	"fmt"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is sound to inspect is sound to bbolt, after many kinds of transactions:
// inspect goes on knowing what bbolt's files look like.
func TestInspectAgreesWithBolt(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 150 {
		var changes []Change
		for j := range 1 + i*7%60 {
			c := Change{Bucket: Buckets[(i+j)%len(Buckets)], Key: fmt.Sprint("key", (i*31+j*17)%400)}
			if (i/50+j)%3 > 0 {
				c.Value = make([]byte, (i*131+j*977)%9000)
			}
			changes = append(changes, c)
		}
		if err := f.Commit(changes...).Wait(); err != nil {
			t.Fatal(err)
		}
		if i > 20 && i%16 > 0 {
			continue
		}
		info, err := f.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		in := inspect(f.file, info.Size(), nil)
		if err := in.err(f.path); err != nil {
			t.Fatalf("after %d transactions: %v", i, err)
		}
		err = f.db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("bbolt, after %d transactions: %v", i, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
