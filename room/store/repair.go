package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// A Report says how a store is, or was before a repair.
type Report struct {
	Path     string // of the file
	Problems []string
	Buckets  []BucketReport // of a file that could be read, in the order of [Buckets]

	// After a repair:
	Damaged string   // where the file is now
	Notes   []string // how far the repair can be trusted
}

// A BucketReport says what of a bucket is whole.
type BucketReport struct {
	Bucket  Bucket
	Whole   int
	Lost    []string // keys of records that are broken
	Missing int      // records of which not even the key is known
}

// Sound reports whether nothing is wrong.
func (r Report) Sound() bool { return len(r.Problems) == 0 }

// records are those that are whole.
type records map[Bucket]map[string]record

func (rs records) keep(b Bucket, key string, r record) {
	if rs[b] == nil {
		rs[b] = make(map[string]record)
	}
	if old, ok := rs[b][key]; !ok || r.revision > old.revision {
		rs[b][key] = r
	}
}

// report tells what an inspection found, and takes out of rs what is whole but means nothing.
func (rs records) report(path string, in *inspection) Report {
	rep := Report{Path: path}
	for _, b := range Buckets {
		about := BucketReport{Bucket: b}
		lost := make(map[string]bool)
		for _, key := range in.lost[b] {
			lost[key] = true
		}
		had := len(rs[b])
		for _, key := range slices.Sorted(maps.Keys(rs[b])) {
			delete(lost, key)
			if err := understood(b, key, rs[b][key].value); err != nil {
				in.problem("record %q in %s means nothing: %v", key, b, err)
				lost[key] = true
				delete(rs[b], key)
				had--
			}
		}
		about.Whole, about.Lost = had, slices.Sorted(maps.Keys(lost))
		if in.header != nil {
			about.Missing = max(0, int(in.header.Buckets[b].Count)-had-len(about.Lost))
		}
		rep.Buckets = append(rep.Buckets, about)
	}
	rep.Problems = in.problems
	return rep
}

// Check reads all of a store and changes nothing. A store that is damaged is no
// error.
func Check(dir string) (Report, error) {
	d, err := openFolder(dir)
	if err != nil {
		return Report{}, err
	}
	defer d.unlock()
	rep, _, _, err := d.check()
	if errors.Is(err, ErrDamaged) {
		return Report{Path: d.path(dbName), Problems: []string{err.Error()}}, nil
	}
	return rep, err
}

func (d *folder) check() (Report, records, *inspection, error) {
	rs := make(records)
	file, in, err := d.inspect(os.O_RDONLY, rs.keep)
	if errors.Is(err, errUnused) {
		return Report{}, nil, nil, fmt.Errorf("store: there is no store in %s", d.dir)
	}
	if err != nil {
		return Report{}, nil, nil, err
	}
	return rs.report(d.path(dbName), in), rs, in, file.Close()
}

// Export writes the records, each as a line of JSON, ordered by bucket and key:
// what they hold, except for secrets, whose value is "[secret]".
// Of a store that is damaged it writes what is whole, and returns [ErrDamaged].
func Export(dir string, w io.Writer) error {
	d, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer d.unlock()
	rep, rs, in, err := d.check()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for _, b := range Buckets {
		for _, key := range slices.Sorted(maps.Keys(rs[b])) {
			r := rs[b][key]
			err := lines.Encode(struct {
				Bucket   Bucket          `json:"bucket"`
				Key      string          `json:"key"`
				Revision uint64          `json:"revision"`
				Value    json.RawMessage `json:"value"`
			}{b, key, r.revision, printable(b, key, r.value)})
			if err != nil {
				return fmt.Errorf("store: exporting %q of %s: %w", key, b, err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("store: exporting: %w", err)
	}
	if in.problems = rep.Problems; len(in.problems) > 0 {
		return in.err(rep.Path)
	}
	return nil
}

// Repair makes a new file of every record that is whole, and keeps the old one
// beside it. It does nothing to a sound store. Its report is of what it found,
// with what it kept and what is lost.
func Repair(dir string) (Report, error) {
	if _, err := os.Stat(dir); err != nil {
		return Report{}, fmt.Errorf("store: %w", err)
	}
	d, err := makeFolder(dir)
	if err != nil {
		return Report{}, err
	}
	defer d.unlock()
	rep, rs, in, err := d.check()
	switch {
	case err == nil && rep.Sound():
		return rep, nil
	case errors.Is(err, ErrDamaged): // there is no file
		rep = Report{Path: d.path(dbName), Problems: []string{err.Error()}, Notes: []string{"it is an empty store now"}}
		in = newInspection(nil, nil)
	case err != nil:
		return Report{}, err
	default:
		if rep, rs, in, err = d.salvage(rep, rs, in); err != nil {
			return rep, err
		}
	}
	id := ""
	if mark, err := d.marker(); err == nil && mark != nil {
		id = mark.Store
	} else if in.header != nil {
		id = in.header.Store
	}
	return rep, d.replace(id, &rep, rs, in)
}

// salvage tries more than a start does: a meta page that is broken may still lead
// to a whole tree, and when neither leads anywhere all pages are searched.
func (d *folder) salvage(rep Report, rs records, in *inspection) (Report, records, *inspection, error) {
	file, err := os.Open(d.path(dbName))
	if err != nil {
		return rep, rs, in, fmt.Errorf("store: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return rep, rs, in, fmt.Errorf("store: %w", err)
	}
	problems := rep.Problems
	metas := readMetas(file)
	behind := metas[0].err != nil || metas[1].err != nil // what was read may not be the last
	for _, m := range metas {
		if m.err == nil {
			continue
		}
		// Its numbers may be right though its checksum is not.
		others := make(records)
		other := newInspection(file, others.keep)
		other.read(m, info.Size())
		if !other.complete() {
			continue
		}
		behind = false
		if in.header == nil || other.header.Revision > in.header.Revision {
			rs, in = others, other
			rep = rs.report(rep.Path, in)
		}
	}
	if behind {
		rep.Notes = append(rep.Notes, "a meta page is broken: the last changes may be missing")
	}
	if in.header == nil && len(rs) == 0 {
		rs.search(file, metas, info.Size())
		rep = rs.report(rep.Path, in)
		rep.Notes = append(rep.Notes, "the index is broken: all pages were searched, so records that had been deleted may be back, and how many are missing is not known")
	} else if in.header == nil {
		rep.Notes = append(rep.Notes, "the header is broken: how many records are missing is not known")
	}
	if in.orphans && !in.complete() {
		rep.Notes = append(rep.Notes, "some records were found on pages that nothing leads to: a few of them may be old or deleted ones")
	}
	rep.Problems = problems
	return rep, rs, in, nil
}

// search takes records from every leaf page there is.
func (rs records) search(f io.ReaderAt, metas [2]meta, size int64) {
	in := newInspection(f, rs.keep)
	in.pageSize = os.Getpagesize()
	for _, m := range metas {
		if m.err == nil {
			in.pageSize = m.pageSize
		}
	}
	in.limit = uint64(size) / uint64(in.pageSize)
	var all []uint64
	for id := uint64(2); id < in.limit; id++ {
		all = append(all, id)
	}
	in.adopt(all)
}

// replace puts a new file in the place of the damaged one. At no moment there
// is none.
func (d *folder) replace(id string, rep *Report, rs records, in *inspection) error {
	if id == "" {
		id = newID()
	}
	var revision uint64
	if in.header != nil {
		revision = in.header.Revision
	}
	if err := d.writeNew(id, revision, rs); err != nil {
		return err
	}
	path := d.path(dbName)
	name := dbName + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	err := os.Link(path, d.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = copyFile(path, d.path(name)) // a file system without links
	}
	switch {
	case err == nil:
		rep.Damaged = d.path(name)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: keeping the damaged file: %w", err)
	}
	if err := d.rename(d.path(newName), dbName); err != nil {
		return err
	}
	return d.putMarker(id)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
