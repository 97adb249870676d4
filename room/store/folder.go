package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	dbName     = "usher.db"
	newName    = "usher.db.new" // not finished; swept by the next start
	markerName = "usher.store"
	lockName   = "usher.lock"
)

// lockPatience is how long a start waits for the process before it to end.
const lockPatience = time.Second

// A folder is the directory of a store, locked.
type folder struct {
	dir  string
	lock *os.File // nil when there was nothing to lock
}

func (d *folder) path(name string) string { return filepath.Join(d.dir, name) }

// makeFolder makes the directory if it is missing, and locks it.
func makeFolder(dir string) (*folder, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	return lockFolder(dir, os.O_RDWR|os.O_CREATE)
}

// openFolder locks a directory and writes nothing to it.
func openFolder(dir string) (*folder, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return lockFolder(dir, os.O_RDONLY)
}

// lockFolder locks a file of its own, for the others come and go.
func lockFolder(dir string, flag int) (*folder, error) {
	d := &folder{dir: dir}
	lock, err := os.OpenFile(d.path(lockName), flag, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist): // and not to be made
		return d, nil
	case err != nil:
		return nil, fmt.Errorf("store: %w", err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		free, err := tryLock(lock)
		switch {
		case err != nil:
			_ = lock.Close()
			return nil, fmt.Errorf("store: locking %s: %w", d.path(lockName), err)
		case free:
			d.lock = lock
			return d, nil
		case time.Since(began) > lockPatience:
			_ = lock.Close()
			return nil, fmt.Errorf("store: %s is in use by another process", dir)
		}
	}
}

func (d *folder) unlock() {
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

// A marker is what usher.store holds.
type marker struct {
	Store string `json:"store"` // id
}

// marker returns nil when there is none.
func (d *folder) marker() (*marker, error) {
	text, err := os.ReadFile(d.path(markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	m := new(marker)
	if err := json.Unmarshal(text, m); err != nil || m.Store == "" {
		return nil, fmt.Errorf("%w: %s cannot be read", ErrDamaged, d.path(markerName))
	}
	return m, nil
}

func (d *folder) putMarker(id string) error {
	text, err := json.Marshal(marker{id})
	if err != nil {
		return err
	}
	temp := d.path(markerName + ".new")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = d.rename(temp, markerName)
	}
	if err != nil {
		return fmt.Errorf("store: writing %s: %w", d.path(markerName), err)
	}
	return nil
}

// create makes the files of a store with nothing in it. The marker is last: when the
// process is killed before it, what is there is an usher.db that has never been
// used, or nothing, and the next start goes on from that.
func (d *folder) create() error {
	id := newID()
	if err := d.writeNew(id, 0, nil); err != nil {
		return err
	}
	if err := d.rename(d.path(newName), dbName); err != nil {
		return err
	}
	return d.putMarker(id)
}

// writeNew writes records to usher.db.new.
func (d *folder) writeNew(id string, revision uint64, records map[Bucket]map[string]record) (err error) {
	path := d.path(newName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: %w", err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoStatistics: true})
	if err != nil {
		return fmt.Errorf("store: making %s: %w", path, err)
	}
	defer func() {
		if e := db.Close(); e != nil && err == nil {
			err = fmt.Errorf("store: making %s: %w", path, e)
		}
	}()
	h := &header{Store: id, Revision: revision, Buckets: make(map[Bucket]tally)}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range Buckets {
			bucket, err := tx.CreateBucket([]byte(b))
			if err != nil {
				return err
			}
			h.Buckets[b] = tally{}
			for key, r := range records[b] {
				frame, _ := encode(b, []byte(key), r.revision, r.value)
				if err := bucket.Put([]byte(key), frame); err != nil {
					return err
				}
				h.Buckets[b] = h.Buckets[b].with(r)
				h.Revision = max(h.Revision, r.revision)
			}
		}
		own, err := tx.CreateBucket([]byte(headerBucket))
		if err != nil {
			return err
		}
		return own.Put(headerKey, h.encode())
	})
	if err != nil {
		return fmt.Errorf("store: making %s: %w", path, err)
	}
	return nil
}

// sweep removes what a crash left unfinished.
func (d *folder) sweep() error {
	for _, name := range []string{newName, markerName + ".new"} {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// rename gives a file, synced before, its name, which a crash does not take
// away any more.
func (d *folder) rename(from, name string) error {
	if err := os.Rename(from, d.path(name)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := syncDir(d.dir); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) { // a file system that has no such thing
		err = nil
	}
	return errors.Join(err, f.Close())
}

func newID() string { return rand.Text() }
