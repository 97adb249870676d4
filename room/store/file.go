package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options are the options of [Open].
type Options struct {
	// Around is called for each transaction with what writes and syncs it, and
	// returns what that returned. Optional: it is there to count, to delay, and
	// to let writing fail.
	Around func(write func() error) error
}

// What one transaction takes at most, unless one commit has more.
const (
	maxGroupChanges = 8192
	maxGroupBytes   = 16 << 20
)

// A File is a [Store] in a folder.
type File struct {
	folder   *folder
	path     string
	pageSize int
	around   func(func() error) error

	// The committer's, between Open and the end of run:
	db     *bolt.DB
	file   *os.File // db's
	header *header  // as it is in the file
	broken error    // no write is tried any more

	mu     sync.Mutex // guards the following fields
	queue  []commit
	closed bool

	wake  chan struct{} // 1-buffered: the queue, or closed, has changed
	ended chan struct{} // closed when run has returned
	err   error         // of Close; set before ended is closed
}

type commit struct {
	changes []Change
	ticket  *Ticket
}

var _ Store = (*File)(nil)

// Open opens the store in a directory, which is made if it is missing. All of
// it is read and checked; what is not as it was left is [ErrDamaged]. Another
// process that uses the directory is an error after a second.
func Open(dir string, o Options) (*File, error) {
	d, err := makeFolder(dir)
	if err != nil {
		return nil, err
	}
	f, err := open(d)
	if err != nil {
		d.unlock()
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w (`usher store check --data %s` says more, `usher store repair --data %[2]s` keeps what is whole)", err, dir)
		}
		return nil, err
	}
	if f.around = o.Around; f.around == nil {
		f.around = func(write func() error) error { return write() }
	}
	go f.run() // until Close
	return f, nil
}

func open(d *folder) (*File, error) {
	path := d.path(dbName)
	file, in, err := d.inspect(os.O_RDWR, nil)
	if errors.Is(err, errUnused) {
		if err = d.create(); err == nil {
			file, in, err = d.inspect(os.O_RDWR, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := in.err(path); err != nil {
		_ = file.Close()
		return nil, err
	}
	err = d.sweep()
	if in.unmarked && err == nil {
		err = d.putMarker(in.header.Store)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	db, err := openDB(path, file)
	if err != nil {
		_ = file.Close() // again, unless bbolt panicked
		return nil, err
	}
	return &File{
		folder: d, path: path, pageSize: in.pageSize, db: db, file: file, header: in.header,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}, nil
}

// openDB gives bbolt a file that has been inspected. What can still go wrong is
// a disk that cannot read a page a second time.
func openDB(path string, file *os.File) (db *bolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			_ = release(file)
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, path, r)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:      lockPatience,
		FreelistType: bolt.FreelistMapType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("store: %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("store: opening %s: %w", path, err)
	}
	return db, nil
}

// errUnused is returned for a folder without a store.
var errUnused = errors.New("store: there is none")

// inspect opens and reads the file of a folder. What is wrong with the folder is in the
// inspection's problems too; there is no file when it is missing.
func (d *folder) inspect(flag int, keep func(Bucket, string, record)) (*os.File, *inspection, error) {
	mark, markErr := d.marker()
	if markErr != nil && !errors.Is(markErr, ErrDamaged) {
		return nil, nil, markErr
	}
	path := d.path(dbName)
	file, err := os.OpenFile(path, flag, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mark == nil && markErr == nil:
		return nil, nil, errUnused
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: %s is missing from %s, which was in use; restore it", ErrDamaged, dbName, d.dir)
	case err != nil:
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	in := inspect(file, info.Size(), keep)
	switch h := in.header; {
	case markErr != nil:
		in.problem("%s cannot be read", markerName)
	case mark == nil && len(in.problems) == 0 && h.Revision == 0:
		in.unmarked = true
	case mark == nil:
		in.problem("%s is missing", markerName)
	case h != nil && h.Store != mark.Store:
		in.problem("it is another store's: its id is not the one in %s", markerName)
	}
	return file, in, nil
}

// Load implements [Store].
func (f *File) Load(b Bucket, each func(key string, value []byte) error) error {
	if err := known(b); err != nil {
		return err
	}
	records, err := f.load(b)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := each(r.Key, r.Value); err != nil {
			return err
		}
	}
	return nil
}

// load copies a bucket, so that no transaction is open while others are called:
// a commit may have to wait for its end.
func (f *File) load(b Bucket) (records []Change, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, f.path, r)
		}
	}()
	err = f.db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(b))
		if bucket == nil { // nothing was ever in it
			return nil
		}
		return bucket.ForEach(func(key, frame []byte) error {
			r, err := decode(b, key, frame)
			if err != nil {
				return fmt.Errorf("%w: %s: record %q in %s is broken: %w", ErrDamaged, f.path, key, b, err)
			}
			records = append(records, Change{b, string(key), bytes.Clone(r.value)})
			return nil
		})
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return records, err
}

// Commit implements [Store]. Commits that wait are written together, and share
// the error when that fails.
func (f *File) Commit(changes ...Change) *Ticket {
	t := newTicket()
	if err := validate(changes); err != nil {
		t.resolve(err)
		return t
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		t.resolve(ErrClosed)
		return t
	}
	f.queue = append(f.queue, commit{slices.Clone(changes), t})
	f.signal()
	return t
}

func (f *File) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Close implements [Store]. Later calls return what the first did.
func (f *File) Close() error {
	f.mu.Lock()
	f.closed = true
	f.signal()
	f.mu.Unlock()
	<-f.ended
	return f.err
}

// run writes what is queued.
func (f *File) run() {
	defer close(f.ended)
	debug.SetPanicOnFault(true) // for this goroutine
	for {
		group, closed := f.take()
		if len(group) == 0 {
			if closed {
				break
			}
			<-f.wake
			continue
		}
		err := f.write(group)
		for _, c := range group {
			c.ticket.resolve(err)
		}
	}
	if errors.Is(f.broken, errStuck) {
		f.err = errors.Join(release(f.file), f.file.Close()) // bbolt's mutexes are held for ever
	} else {
		f.err = f.db.Close()
	}
	f.folder.unlock()
}

// take removes from the queue what one transaction can take.
func (f *File) take() (group []commit, closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes, bytes, n := 0, 0, 0
	for _, c := range f.queue {
		changes += len(c.changes)
		for _, change := range c.changes {
			bytes += len(change.Key) + len(change.Value)
		}
		if n > 0 && (changes > maxGroupChanges || bytes > maxGroupBytes) {
			break
		}
		n++
	}
	group = f.queue[:n:n]
	if f.queue = f.queue[n:]; len(f.queue) == 0 {
		f.queue = nil
	}
	return group, f.closed
}

// errStuck is in the error of a panic inside of bbolt, which keeps its locks.
var errStuck = errors.New("panic")

// write writes a group. When it fails, the meta pages tell whether anything of
// it is in the file: they are written last, and only they make the rest count.
// When they are as before, this group has failed and the next is tried. When they are not,
// because their sync failed, it is not known what a disk will return later, nor does
// bbolt's memory fit the file: that is the end of writing.
func (f *File) write(group []commit) error {
	if f.broken != nil {
		return f.broken
	}
	before, err := f.metas()
	if err != nil {
		return fmt.Errorf("store: reading %s: %w", f.path, err)
	}
	next := f.header.clone()
	if err = f.transact(group, next); err == nil {
		f.header = next
		return nil
	}
	after, readErr := f.metas()
	if readErr != nil || !bytes.Equal(before, after) {
		f.broken = fmt.Errorf("%w: it is not known whether a write to %s succeeded: %w", ErrBroken, f.path, err)
		return f.broken
	}
	err = fmt.Errorf("store: writing %s: %w", f.path, err)
	if errors.Is(err, errStuck) || errors.Is(err, ErrDamaged) || errors.Is(err, bolterrors.ErrInvalidMapping) {
		f.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return err
}

// metas returns what the meta pages say, as it is in the file.
func (f *File) metas() ([]byte, error) {
	b := make([]byte, 2*metaBytes)
	if _, err := f.file.ReadAt(b[:metaBytes], 0); err != nil {
		return nil, err
	}
	_, err := f.file.ReadAt(b[metaBytes:], int64(f.pageSize))
	return b, err
}

// transact writes a group in one transaction, and changes h to the header it
// then has.
func (f *File) transact(group []commit, h *header) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errStuck, r)
		}
	}()
	tx, err := f.db.Begin(true)
	if err != nil {
		return err
	}
	some := false
	for _, c := range group {
		for _, change := range c.changes {
			some = true
			if err := apply(tx, h, change); err != nil {
				_ = tx.Rollback()
				return err
			}
		}
	}
	if !some {
		return tx.Rollback()
	}
	if err := tx.Bucket([]byte(headerBucket)).Put(headerKey, h.encode()); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := f.around(tx.Commit); err != nil {
		_ = tx.Rollback() // it may not have come to the commit
		return err
	}
	return nil
}

func apply(tx *bolt.Tx, h *header, c Change) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(c.Bucket))
	if err != nil {
		return err
	}
	key := []byte(c.Key)
	t := h.Buckets[c.Bucket]
	if old := bucket.Get(key); old != nil {
		r, err := decode(c.Bucket, key, old)
		if err != nil {
			return fmt.Errorf("%w: record %q in %s is broken: %w", ErrDamaged, key, c.Bucket, err)
		}
		t = t.without(r)
	}
	h.Revision++
	if c.Value == nil {
		h.Buckets[c.Bucket] = t
		return bucket.Delete(key)
	}
	frame, sum := encode(c.Bucket, key, h.Revision, c.Value)
	h.Buckets[c.Bucket] = t.with(record{sum: sum})
	return bucket.Put(key, frame)
}
