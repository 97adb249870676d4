package store_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"usher/room/store"
)

// benchDir is on the disk that USHER_BENCH_DIR names: /tmp may be memory.
func benchDir(b *testing.B) string {
	dir, err := os.MkdirTemp(os.Getenv("USHER_BENCH_DIR"), "store")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func statement(i int) store.Change {
	p := &store.Person{Room: "RM_bench", Identity: fmt.Sprint("person-", i),
		Statements: []store.Statement{{At: time.Unix(1.7e9, 0), Life: "RM_bench", By: "backend", Deny: []string{"canPublish"}}}}
	return p.Put()
}

func BenchmarkCommit(b *testing.B) {
	for _, waiting := range []int{1, 64} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			f := openWith(b, benchDir(b), store.Options{})
			defer f.Close()
			b.ReportAllocs()
			tickets := make(chan *store.Ticket, waiting)
			for i := 0; b.Loop(); i++ {
				if len(tickets) == waiting {
					if err := (<-tickets).Wait(); err != nil {
						b.Fatal(err)
					}
				}
				tickets <- f.Commit(statement(i % 10000))
			}
			if err := f.Commit().Wait(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkOpen100k(b *testing.B) {
	dir := benchDir(b)
	f := openWith(b, dir, store.Options{})
	for i := range 100_000 {
		f.Commit(statement(i))
	}
	commit(b, f)
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f := openWith(b, dir, store.Options{})
		n := 0
		if err := store.LoadPeople(f, func(*store.Person) error { n++; return nil }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
