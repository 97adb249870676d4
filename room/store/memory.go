package store

import (
	"bytes"
	"maps"
	"slices"
	"sync"
)

// A Memory is a [Store] that ends with the process: for --dev, and for tests.
type Memory struct {
	mu      sync.Mutex // guards the following fields
	closed  bool
	buckets map[Bucket]map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store in memory.
func NewMemory() *Memory { return &Memory{buckets: make(map[Bucket]map[string][]byte)} }

// Load implements [Store].
func (m *Memory) Load(b Bucket, each func(key string, value []byte) error) error {
	m.mu.Lock()
	records, closed := maps.Clone(m.buckets[b]), m.closed
	m.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := known(b); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := each(key, bytes.Clone(records[key])); err != nil {
			return err
		}
	}
	return nil
}

// Commit implements [Store]. What it returns is done already.
func (m *Memory) Commit(changes ...Change) *Ticket {
	t := newTicket()
	t.resolve(m.commit(changes))
	return t
}

func (m *Memory) commit(changes []Change) error {
	if err := validate(changes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(m.buckets[c.Bucket], c.Key)
			continue
		}
		if m.buckets[c.Bucket] == nil {
			m.buckets[c.Bucket] = make(map[string][]byte)
		}
		m.buckets[c.Bucket][c.Key] = bytes.Clone(c.Value)
	}
	return nil
}

// Close implements [Store].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
