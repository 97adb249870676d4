package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// What bbolt's file consists of, read with every bound checked. The numbers are
// in the byte order of the machine, as bbolt has them.
const (
	pageHead    = 16 // id u64, flags u16, count u16, overflow u32
	elementHead = 16 // leaf: flags, position, key, value u32; branch: position, key u32, page u64
	bucketHead  = 16 // root page u64, sequence u64
	metaBytes   = pageHead + 64

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	metaMagic   = 0xED0CDAED
	metaVersion = 2
)

var order = binary.NativeEndian

// A meta is one of the two meta pages: where the tree of a transaction is.
type meta struct {
	root, freelist uint64
	pages          uint64 // all that are in use are below
	tx             uint64
	pageSize       int
	err            error // what is wrong with it
}

func readMeta(f io.ReaderAt, number uint64, pageSize int) meta {
	var b [metaBytes]byte
	if _, err := f.ReadAt(b[:], int64(number)*int64(pageSize)); err != nil {
		return meta{err: fmt.Errorf("meta page %d cannot be read: %w", number, short(err))}
	}
	body := b[pageHead:]
	m := meta{
		pageSize: int(order.Uint32(body[8:])),
		root:     order.Uint64(body[16:]),
		freelist: order.Uint64(body[32:]),
		pages:    order.Uint64(body[40:]),
		tx:       order.Uint64(body[48:]),
	}
	sum := fnv.New64a()
	_, _ = sum.Write(body[:56])
	switch {
	case order.Uint32(body) != metaMagic || order.Uint32(body[4:]) != metaVersion || order.Uint64(body[56:]) != sum.Sum64():
		m.err = fmt.Errorf("meta page %d is broken", number)
	case order.Uint64(b[:]) != number || order.Uint16(b[8:]) != metaPage:
		m.err = fmt.Errorf("meta page %d has a broken head", number)
	}
	return m
}

// readMetas returns both meta pages.
func readMetas(f io.ReaderAt) [2]meta {
	first := readMeta(f, 0, 0)
	if first.err == nil {
		return [2]meta{first, readMeta(f, 1, first.pageSize)}
	}
	// Where the second one is, only the first knows.
	for size := 1 << 10; size <= 1<<24; size <<= 1 {
		if second := readMeta(f, 1, size); second.err == nil && second.pageSize == size {
			return [2]meta{first, second}
		}
	}
	return [2]meta{first, readMeta(f, 1, os.Getpagesize())}
}

// short is err, in words that fit a file that ends too early.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file is too short")
	}
	return err
}

// A page is one with those that overflow from it.
type page struct {
	id    uint64
	span  uint64 // pages, at least 1
	flags uint16
	count int
	data  []byte // all of it, the head too
}

// readPage reads a page of which limit are there.
func readPage(f io.ReaderAt, id uint64, pageSize int, limit uint64) (*page, error) {
	if id < 2 || id >= limit {
		return nil, fmt.Errorf("page %d is not one of the %d there are", id, limit)
	}
	data := make([]byte, pageSize)
	if _, err := f.ReadAt(data, int64(id)*int64(pageSize)); err != nil {
		return nil, fmt.Errorf("page %d cannot be read: %w", id, short(err))
	}
	p, err := parsePage(data)
	if err != nil {
		return nil, fmt.Errorf("page %d is %w", id, err)
	}
	if p.id != id || p.span > limit-id {
		return nil, fmt.Errorf("page %d has a broken head", id)
	}
	if p.span > 1 {
		p.data = make([]byte, int(p.span)*pageSize)
		if _, err := f.ReadAt(p.data, int64(id)*int64(pageSize)); err != nil {
			return nil, fmt.Errorf("page %d cannot be read: %w", id, short(err))
		}
	}
	return p, nil
}

// parsePage reads the head of a page.
func parsePage(data []byte) (*page, error) {
	if len(data) < pageHead {
		return nil, errors.New("too short")
	}
	return &page{
		id:    order.Uint64(data),
		flags: order.Uint16(data[8:]),
		count: int(order.Uint16(data[10:])),
		span:  uint64(order.Uint32(data[12:])) + 1,
		data:  data,
	}, nil
}

// An element is an entry of a leaf or branch page.
type element struct {
	key, value []byte
	bucket     bool   // value is a bucket's
	child      uint64 // of a branch
}

// element returns one of the count elements of a page.
func (p *page) element(i int) (element, error) {
	at := pageHead + i*elementHead
	if at+elementHead > len(p.data) {
		return element{}, errors.New("outside of its page")
	}
	head := p.data[at:]
	// In 64 bits, where sums of 32 bits do not overflow.
	var flags uint32
	var pos, key, value, child uint64
	if p.flags == branchPage {
		pos, key, child = uint64(order.Uint32(head)), uint64(order.Uint32(head[4:])), order.Uint64(head[8:])
	} else {
		flags, pos = order.Uint32(head), uint64(order.Uint32(head[4:]))
		key, value = uint64(order.Uint32(head[8:])), uint64(order.Uint32(head[12:]))
	}
	start := uint64(at) + pos
	if start < uint64(pageHead+p.count*elementHead) || start+key+value > uint64(len(p.data)) {
		return element{}, errors.New("outside of its page")
	}
	if key == 0 || key > maxKey || flags > 1 {
		return element{}, errors.New("broken")
	}
	data := p.data[start : start+key+value]
	return element{key: data[:key:key], value: data[key:], bucket: flags == 1, child: child}, nil
}

// freed returns the page numbers of a page of the free list.
func (p *page) freed() ([]uint64, error) {
	if p.flags != freelistPage {
		return nil, errors.New("it is no such page")
	}
	ids, n := p.data[pageHead:], uint64(p.count)
	if n == 0xFFFF { // does not fit the head
		if len(ids) < 8 {
			return nil, errors.New("it is too short")
		}
		n, ids = order.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return nil, errors.New("it is longer than its page")
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = order.Uint64(ids[i*8:])
	}
	return list, nil
}
