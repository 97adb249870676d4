package store

import (
	"slices"
	"testing"
)

// A store of a version that did not know of a bucket opens, and has it when
// something is written there.
func TestAnOlderStoreOpens(t *testing.T) {
	dir := t.TempDir()
	all := Buckets
	defer func() { Buckets = all }()
	Buckets = slices.DeleteFunc(slices.Clone(all), func(b Bucket) bool { return b == Meetings })
	f, err := Open(dir, Options{})
	if err == nil {
		err = f.Commit(Change{RoomRecords, "R_1", []byte(`{"id":"R_1","name":"n"}`)}).Wait()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	Buckets = all
	for range 2 {
		f, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := LoadRooms(f, func(*Room) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := f.Load(Meetings, func(string, []byte) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := f.Commit(Change{Meetings, "m", []byte(`{}`)}).Wait(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
