package store

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An inspection is all that can be said about a file. It follows every page
// number and every length with suspicion, so that bbolt, which does not, gets
// to see only what is sound.
type inspection struct {
	problems []string
	header   *header             // nil when it cannot be read
	tallies  map[Bucket]tally    // of the records that are whole
	lost     map[Bucket][]string // keys of those that are not
	orphans  bool                // some were found on pages that nothing leads to
	unmarked bool                // sound, never used and without a marker: a first start was killed

	keep func(Bucket, string, record) // gets each whole record. Optional.

	f        io.ReaderAt
	pageSize int
	limit    uint64 // number of pages
	used     []bool // by page
	trees    map[Bucket]bool
	last     uint64 // highest revision
}

func (in *inspection) problem(format string, args ...any) {
	in.problems = append(in.problems, fmt.Sprintf(format, args...))
}

// inspect reads a whole file of the given size. Of a file with a broken meta
// page it reads what the other one leads to.
func inspect(f io.ReaderAt, size int64, keep func(Bucket, string, record)) *inspection {
	metas := readMetas(f)
	m := metas[0]
	if m.err != nil || metas[1].err == nil && metas[1].tx > m.tx {
		m = metas[1]
	}
	in := newInspection(f, keep)
	for _, each := range metas {
		if each.err != nil {
			in.problem("%v", each.err)
		}
	}
	if m.err != nil {
		return in
	}
	if len(in.problems) == 0 && (metas[0].pageSize != metas[1].pageSize || m.tx != min(metas[0].tx, metas[1].tx)+1) {
		in.problem("the meta pages do not belong together")
	}
	in.read(m, size)
	return in
}

func newInspection(f io.ReaderAt, keep func(Bucket, string, record)) *inspection {
	return &inspection{f: f, keep: keep,
		tallies: make(map[Bucket]tally), lost: make(map[Bucket][]string), trees: make(map[Bucket]bool)}
}

// read reads everything that a meta page leads to.
func (in *inspection) read(m meta, size int64) {
	in.pageSize = m.pageSize
	if m.pageSize < 1<<10 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0 {
		in.problem("pages of %d bytes", m.pageSize)
		return
	}
	in.limit = m.pages
	if have := uint64(size) / uint64(m.pageSize); have < in.limit {
		in.problem("the file is cut short: %d bytes of at least %d", size, m.pages*uint64(m.pageSize))
		in.limit = have
	}
	in.used = make([]bool, in.limit)

	in.tree("", m.root, func(e element) {
		if !e.bucket {
			in.problem("there is something between the buckets: %q", e.key)
			return
		}
		in.bucket(Bucket(e.key), e.value)
	})
	stray := in.freelist(m.freelist)
	if in.header == nil {
		in.problem("the header cannot be read")
	}
	if stray != nil && !in.complete() {
		in.adopt(stray)
	}
	in.compare()
}

// bucket reads the records of a bucket from what the root knows about it.
func (in *inspection) bucket(name Bucket, about []byte) {
	if known(name) != nil && name != headerBucket {
		in.problem("there is a bucket %q, which is not known: was it made by a later version?", name)
		return
	}
	if in.trees[name] || len(about) < bucketHead {
		in.problem("bucket %q is broken", name)
		return
	}
	in.trees[name] = true
	each := func(e element) { in.record(name, e) }
	if root := order.Uint64(about); root != 0 {
		in.tree(name, root, each)
		return
	}
	// A small bucket has its only page inside of the root's.
	p, err := parsePage(about[bucketHead:])
	if err != nil || p.flags != leafPage || p.span != 1 {
		in.problem("bucket %q is broken", name)
		return
	}
	in.leaf(string(name), p, nil, nil, each)
}

func (in *inspection) record(b Bucket, e element) {
	if e.bucket {
		in.problem("record %q in %s is broken", e.key, b)
		in.lost[b] = append(in.lost[b], string(e.key))
		return
	}
	if b == headerBucket {
		h, err := decodeHeader(e.value)
		if err != nil || !bytes.Equal(e.key, headerKey) || in.header != nil {
			in.problem("the header is broken")
			return
		}
		in.header = h
		return
	}
	r, err := decode(b, e.key, e.value)
	if err != nil {
		in.problem("record %q in %s is broken: %v", e.key, b, err)
		in.lost[b] = append(in.lost[b], string(e.key))
		return
	}
	in.take(b, string(e.key), r)
}

func (in *inspection) take(b Bucket, key string, r record) {
	in.tallies[b] = in.tallies[b].with(r)
	in.last = max(in.last, r.revision)
	if in.keep != nil {
		in.keep(b, key, r)
	}
}

// tree calls each for the elements of the leaves under a page.
func (in *inspection) tree(b Bucket, root uint64, each func(element)) {
	where := string(b)
	if where == "" {
		where = "the root"
	}
	in.node(where, root, nil, nil, each)
}

// node does what tree does. Keys are at least low and below high, where these
// are not nil. It returns the last key.
func (in *inspection) node(where string, id uint64, low, high []byte, each func(element)) []byte {
	p, err := readPage(in.f, id, in.pageSize, in.limit)
	if err != nil {
		in.problem("in %s: %v", where, err)
		return nil
	}
	for i := p.id; i < p.id+p.span; i++ {
		if in.used[i] {
			in.problem("in %s: page %d is used twice", where, i)
			return nil
		}
	}
	for i := p.id; i < p.id+p.span; i++ {
		in.used[i] = true
	}
	switch {
	case p.flags == leafPage:
		return in.leaf(where, p, low, high, each)
	case p.flags == branchPage && p.count > 0:
		return in.branch(where, p, low, high, each)
	}
	in.problem("in %s: page %d is of the wrong kind", where, id)
	return nil
}

func (in *inspection) branch(where string, p *page, low, high []byte, each func(element)) (last []byte) {
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			in.problem("in %s: element %d of page %d is %v", where, i, p.id, err)
			continue
		}
		in.ordered(where, p, i, e.key, low, high, last)
		end := high
		if i+1 < p.count {
			if next, err := p.element(i + 1); err == nil {
				end = next.key
			}
		}
		if last = in.node(where, e.child, e.key, end, each); last == nil {
			last = e.key
		}
	}
	return last
}

func (in *inspection) leaf(where string, p *page, low, high []byte, each func(element)) (last []byte) {
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			in.problem("in %s: element %d of page %d is %v", where, i, p.id, err)
			continue
		}
		in.ordered(where, p, i, e.key, low, high, last)
		last = e.key
		each(e)
	}
	return last
}

func (in *inspection) ordered(where string, p *page, i int, key, low, high, last []byte) {
	if low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 ||
		last != nil && bytes.Compare(key, last) <= 0 {
		in.problem("in %s: key %q, element %d of page %d, is out of order", where, key, i, p.id)
	}
}

// freelist checks that every page is in a tree or free, and returns those that
// are neither; nil when it is not known what is free.
func (in *inspection) freelist(id uint64) (stray []uint64) {
	p, err := readPage(in.f, id, in.pageSize, in.limit)
	if err != nil {
		in.problem("in the free list: %v", err)
		return nil
	}
	ids, err := p.freed()
	if err != nil {
		in.problem("the free list on page %d is broken: %v", id, err)
		return nil
	}
	for i := p.id; i < p.id+p.span; i++ {
		ids = append(ids, i)
	}
	for _, id := range ids {
		if id < 2 || id >= in.limit || in.used[id] {
			in.problem("page %d in the free list is not free", id)
			continue
		}
		in.used[id] = true
	}
	for id := uint64(2); id < in.limit; id++ {
		if !in.used[id] {
			stray = append(stray, id)
		}
	}
	if len(stray) > 0 {
		in.problem("%d pages are in no tree, the first is %d", len(stray), stray[0])
	}
	return stray
}

// complete reports whether all records are there and no other.
func (in *inspection) complete() bool {
	if in.header == nil {
		return false
	}
	for _, b := range Buckets {
		if in.tallies[b] != in.header.Buckets[b] {
			return false
		}
	}
	return true
}

// adopt takes records from leaves that nothing leads to: a page above them is
// broken.
func (in *inspection) adopt(stray []uint64) {
	for _, id := range stray {
		p, err := readPage(in.f, id, in.pageSize, in.limit)
		if err != nil || p.flags != leafPage {
			continue
		}
		for i := range p.count {
			e, err := p.element(i)
			if err != nil || e.bucket {
				continue
			}
			for _, b := range Buckets {
				r, err := decode(b, e.key, e.value)
				if err != nil {
					continue
				}
				in.orphans = true
				in.take(b, string(e.key), r)
			}
		}
	}
}

// compare compares what was found with what the header says there is.
func (in *inspection) compare() {
	h := in.header
	if h == nil {
		return
	}
	for _, b := range Buckets {
		want, written := h.Buckets[b]
		got := in.tallies[b]
		switch {
		case written != in.trees[b]:
			in.problem("bucket %q is missing", b)
		case got.Count < want.Count:
			in.problem("%d of the %d records in %s are missing or broken", want.Count-got.Count, want.Count, b)
		case got != want:
			in.problem("the records in %s are not those that were left there", b)
		}
	}
	for b := range h.Buckets {
		if !slices.Contains(Buckets, b) {
			in.problem("the header knows of a bucket %q: was it made by a later version?", b)
		}
	}
	if in.last > h.Revision {
		in.problem("a record is of revision %d, the header of %d", in.last, h.Revision)
	}
}

// err is nil for a sound file.
func (in *inspection) err(path string) error {
	if len(in.problems) == 0 {
		return nil
	}
	what := strings.Join(in.problems[:min(3, len(in.problems))], "; ")
	if more := len(in.problems) - 3; more > 0 {
		what += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Errorf("%w: %s: %s", ErrDamaged, path, what)
}
