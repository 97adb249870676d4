// Package store keeps what outlives a process: rooms made by an API, live
// statements about people, revocations, webhook events not delivered yet, meetings,
// what the server made once for itself.
//
// It is a set of named buckets of records. Changes are queued in the order of
// the calls, written in groups with one sync for each group, and are durable
// when their [Ticket] says so. Everything is read, and checked, at start:
// damage stops it, for a revocation that was dropped silently lets somebody in.
//
// [Open] keeps records in a file, [NewMemory] in memory, with the same behaviour.
//
// # The folder
//
//	usher.db     the records: a bbolt file, every value in a frame with its
//	             revision and checksum, and a header that counts them
//	usher.store  the id of the store, which usher.db has too: a file that is
//	             missing, or another store's, is noticed
//	usher.lock   locked by the process that uses the folder
//
// # Damage
//
// bbolt trusts its file: a broken page is a panic, a fault that ends the
// process, or records that are not there. So [Open] reads all of it first,
// without bbolt, down to the last page (see inspect), and refuses with
// [ErrDamaged] what is not exactly as it was left. Of bbolt's two meta pages both must be
// valid. bbolt goes on with the older one when the newer is not, which forgets
// a commit that may have been acknowledged. A loss of power does not leave that
// state: a meta page's content is in one sector, which a disk writes whole or
// not at all. What nothing in a file can tell is an older copy of all of it, or
// a disk that said it had written the last meta page and had not: that looks
// like a crash just before.
package store

import (
	"errors"
	"fmt"
	"slices"
)

// A Bucket is a namespace of records.
type Bucket string

const (
	RoomRecords Bucket = "rooms"       // [Room], by its id
	Statements  Bucket = "statements"  // [Person], of a person, by room id and identity
	Revocations Bucket = "revocations" // [Revocation], by its id
	Deliveries  Bucket = "deliveries"  // webhook events that were not delivered yet
	Announced   Bucket = "announced"   // who and what webhooks have told to be there
	Settings    Bucket = "settings"    // [Setting], by its key
	Meetings    Bucket = "meetings"    // who was in rooms, and when
)

// Buckets is all there are.
var Buckets = []Bucket{RoomRecords, Statements, Revocations, Deliveries, Announced, Settings, Meetings}

// A Change replaces or deletes one record.
type Change struct {
	Bucket Bucket
	Key    string // not empty, 32 KiB at most
	Value  []byte // nil deletes; not changed any more by the caller; 64 MiB at most
}

const (
	maxKey   = 32 << 10 // bbolt's
	maxValue = 64 << 20
)

// validate finds the changes that no store takes, before they take others along.
func validate(changes []Change) error {
	for _, c := range changes {
		if err := known(c.Bucket); err != nil {
			return err
		}
		if c.Key == "" || len(c.Key) > maxKey {
			return fmt.Errorf("store: a key in %s has %d bytes, which is not between 1 and %d", c.Bucket, len(c.Key), maxKey)
		}
		if len(c.Value) > maxValue {
			return fmt.Errorf("store: the value of %q in %s has %d bytes, %d are allowed", c.Key, c.Bucket, len(c.Value), maxValue)
		}
	}
	return nil
}

func known(b Bucket) error {
	if !slices.Contains(Buckets, b) {
		return fmt.Errorf("store: there is no bucket %q", b)
	}
	return nil
}

// Errors of a Store.
var (
	ErrClosed = errors.New("store: closed")
	// ErrDamaged is wrapped by errors of [Open] that need a repair.
	ErrDamaged = errors.New("store: damaged")
	// ErrBroken is wrapped by errors of tickets when a write failed so late that
	// nobody knows whether it is in the file. Nothing is written after it: the
	// next start reads what is there.
	ErrBroken = errors.New("store: broken, restart usher")
)

// A Store keeps records. Its methods may be called concurrently.
type Store interface {
	// Load calls each for all records of a bucket, ordered by key, that are
	// durable at the moment of the call; each may use the store, and keep what
	// it gets. It is meant for the start: it reads all of the bucket into memory.
	// An error of each ends it and is returned.
	Load(b Bucket, each func(key string, value []byte) error) error

	// Commit queues changes that are to be written together or not at all,
	// after everything that was queued before. It only takes memory: it never
	// blocks and may be called under a lock. Without changes its ticket tells
	// that everything before has been settled.
	Commit(changes ...Change) *Ticket

	// Close writes what is queued and releases the store.
	Close() error
}

// A Ticket is a commit on its way.
type Ticket struct {
	done chan struct{}
	err  error // set before done is closed
}

func newTicket() *Ticket { return &Ticket{done: make(chan struct{})} }

func (t *Ticket) resolve(err error) {
	t.err = err
	close(t.done)
}

// Wait blocks until the changes are durable, or says why they are not: then
// none of them will be found at the next start, unless it is [ErrBroken]. A nil
// ticket is durable.
func (t *Ticket) Wait() error {
	if t == nil {
		return nil
	}
	<-t.done
	return t.err
}

// Done is closed when Wait would not block.
func (t *Ticket) Done() <-chan struct{} {
	if t == nil {
		return settled
	}
	return t.done
}

var settled = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
