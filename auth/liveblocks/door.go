package liveblocks

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync/atomic"

	"usher/auth"
)

// A DoorEntry is a project that has keys of Liveblocks.
type DoorEntry struct {
	Project string
	Secret  auth.Secret // sk_…, of server APIs; empty: none
	Public  string      // pk_…, of pages; empty: none
	Key     auth.Key    // signs the project's tokens
	Format  auth.Format // of [New]
}

// A Door finds out whose a secret key or a public key is. A look-up takes as
// long for any key as for another: every entry is compared, and of each a
// digest, so that no length shows either. Methods may be called concurrently,
// Set included. It prints none of its keys.
type Door struct {
	salt  []byte // static; digests are of this process
	state atomic.Pointer[doorState]
}

// doorState is not changed once it has been made. Nothing below an unexported
// field can keep itself from being printed, hence functions: of those, addresses
// are printed.
type doorState struct {
	entries  func() []doorEntry
	projects map[string]func() DoorEntry // by name
}

type doorEntry struct {
	project        string
	secret, public [sha256.Size]byte
	hasSecret      int // 1 or 0
	hasPublic      int
}

// NewDoor returns a door for these projects.
func NewDoor(entries []DoorEntry) *Door {
	d := &Door{salt: make([]byte, 32)}
	_, _ = rand.Read(d.salt) // never fails
	d.Set(entries)
	return d
}

// Set replaces the projects. Of several entries with one name, secret key or
// public key the first counts.
func (d *Door) Set(entries []DoorEntry) {
	list := make([]doorEntry, 0, len(entries))
	projects := make(map[string]func() DoorEntry, len(entries))
	for _, e := range entries {
		if _, ok := projects[e.Project]; ok {
			continue
		}
		projects[e.Project] = func() DoorEntry { return e }
		list = append(list, doorEntry{
			project: e.Project,
			secret:  d.digest(string(e.Secret)), hasSecret: boolean(len(e.Secret) > 0),
			public: d.digest(e.Public), hasPublic: boolean(e.Public != ""),
		})
	}
	d.state.Store(&doorState{entries: func() []doorEntry { return list }, projects: projects})
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (d *Door) digest(key string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, d.salt)
	mac.Write([]byte(key))
	return [sha256.Size]byte(mac.Sum(nil))
}

// Secret returns the project whose secret key that is.
func (d *Door) Secret(key string) (project string, ok bool) {
	return d.find(key, func(e *doorEntry) ([]byte, int) { return e.secret[:], e.hasSecret })
}

// Public returns the project whose public key that is.
func (d *Door) Public(key string) (project string, ok bool) {
	return d.find(key, func(e *doorEntry) ([]byte, int) { return e.public[:], e.hasPublic })
}

func (d *Door) find(key string, of func(*doorEntry) ([]byte, int)) (project string, ok bool) {
	digest := d.digest(key)
	entries := d.state.Load().entries()
	found := -1
	for i := len(entries) - 1; i >= 0; i-- {
		have, has := of(&entries[i])
		found = subtle.ConstantTimeSelect(has&subtle.ConstantTimeCompare(have, digest[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return entries[found].project, true
}

// Key returns the key that signs a project's tokens, and the zero Key for a
// project without an entry.
func (d *Door) Key(project string) auth.Key { return d.entry(project).Key }

// Format returns the format of a project's tokens, nil for a project without an
// entry.
func (d *Door) Format(project string) auth.Format { return d.entry(project).Format }

func (d *Door) entry(project string) DoorEntry {
	if e, ok := d.state.Load().projects[project]; ok {
		return e()
	}
	return DoorEntry{}
}
