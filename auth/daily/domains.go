package daily

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// A Domain is a project that has keys of Daily.
type Domain struct {
	Project string
	Name    string // of the domain
	ID      string // a UUID: the claim d
	// APIKeys are what the application's backend calls with. Each signs tokens, too.
	APIKeys []auth.Secret
	// TokenSecret signs the tokens that backends ask for, and refreshed ones.
	TokenSecret auth.Secret

	Strict        bool // a token that does not hold is refused also where none is needed
	RequireExpiry bool // tokens without exp are refused
	RequireRoom   bool // tokens that name no room are refused
	// EndSessions ends the sessions of a key that is not listed any more, with all
	// that descends from it. Else they go on.
	EndSessions bool
	RateLimits  bool // of the REST API
}

// Domains is all of them. A look-up of an API key takes as long for any key as for
// another: every one there is is compared, and of each a digest, so that no length
// shows either. Methods may be called concurrently, Set included. It prints none of
// its keys.
type Domains struct {
	salt  []byte                  // static; digests are of this process
	state atomic.Pointer[domains] // set with mu held

	mu   sync.Mutex
	kept map[string]*format // guarded by mu; by project, also of one that is not listed now
}

// domains is not changed once it has been made. Nothing below an unexported field
// can keep itself from being printed, hence functions: of those, addresses are
// printed.
type domains struct {
	keys    func() []apiKey
	list    []func() Domain
	formats map[string]*format // by project
}

type apiKey struct {
	digest [sha256.Size]byte
	domain int // in the list
}

// NewDomains returns these.
func NewDomains(list []Domain) *Domains {
	d := &Domains{salt: make([]byte, 32), kept: map[string]*format{}}
	_, _ = rand.Read(d.salt) // never fails
	d.Set(list)
	return d
}

// Set replaces them. A project's format stays the same one, with its new settings
// and with the permissions that were set, also when the project comes back after it
// was not listed. Of several domains of one project the first counts.
func (d *Domains) Set(list []Domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &domains{formats: make(map[string]*format, len(list))}
	var keys []apiKey
	for _, domain := range list {
		if next.formats[domain.Project] != nil {
			continue
		}
		f := d.formatLocked(domain.Project)
		f.expiry.Store(domain.RequireExpiry)
		f.room.Store(domain.RequireRoom)
		next.formats[domain.Project] = f
		for _, key := range domain.APIKeys {
			if len(key) > 0 {
				keys = append(keys, apiKey{d.digest(string(key)), len(next.list)})
			}
		}
		domain.APIKeys = slices.Clone(domain.APIKeys)
		next.list = append(next.list, func() Domain { return domain })
	}
	next.keys = func() []apiKey { return keys }
	d.state.Store(next)
}

func (d *Domains) formatLocked(project string) *format {
	f := d.kept[project]
	if f == nil {
		f = newFormat()
		d.kept[project] = f
	}
	return f
}

func (d *Domains) digest(key string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, d.salt)
	mac.Write([]byte(key))
	return [sha256.Size]byte(mac.Sum(nil))
}

// Keys returns what signs the tokens of all of them, of each the token secret first.
func (d *Domains) Keys() []auth.Key {
	s := d.state.Load()
	var keys []auth.Key
	for _, of := range s.list {
		domain := of()
		ids := make([]string, 0, 1+len(domain.APIKeys))
		for _, secret := range append([]auth.Secret{domain.TokenSecret}, domain.APIKeys...) {
			key := NewKey(s.formats[domain.Project], domain, secret)
			if len(secret) > 0 && !slices.Contains(ids, key.ID) {
				ids = append(ids, key.ID)
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// NewKey returns the key that signs a domain's tokens with a secret, the token
// secret or an API key, which is an auth.Secret too. Its id is made of the project
// and the secret: it is the same wherever the secret is listed and after a restart,
// and tells nothing of it.
func NewKey(f auth.Format, d Domain, secret auth.Secret) auth.Key {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("usher: id of the key for Daily tokens of the project " + d.Project))
	return auth.Key{
		ID: "daily_" + hex.EncodeToString(mac.Sum(nil)[:10]), Domain: d.ID, Secret: secret,
		Project: d.Project, Format: f, Strict: d.EndSessions,
	}
}

// ByAPIKey returns the domain with that API key, in a time that tells nothing.
func (d *Domains) ByAPIKey(key string) (Domain, bool) {
	digest := d.digest(key)
	s := d.state.Load()
	keys := s.keys()
	found := -1
	for i := len(keys) - 1; i >= 0; i-- {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(keys[i].digest[:], digest[:]), keys[i].domain, found)
	}
	if found < 0 {
		return Domain{}, false
	}
	return s.list[found](), true
}

// ByProject returns a project's domain; of no project named the first one's.
func (d *Domains) ByProject(project string) (Domain, bool) {
	for _, of := range d.state.Load().list {
		if domain := of(); project == "" || domain.Project == project {
			return domain, true
		}
	}
	return Domain{}, false
}

// Format returns the format of a project's tokens, nil for one without a domain.
func (d *Domains) Format(project string) auth.Format {
	if f := d.state.Load().formats[project]; f != nil {
		return f
	}
	return nil
}

// Permissions is what a project says of people who are no owners, over Daily's own
// defaults.
func (d *Domains) Permissions(project string) auth.Say {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.kept[project]; f != nil {
		return f.said.Load().own
	}
	return auth.Say{}
}

// SetPermissions replaces it, whether the project is listed or not. Whoever is in a
// room is told by [room.Rooms.ReviseDaily].
func (d *Domains) SetPermissions(project string, say auth.Say) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.formatLocked(project).setDomain(say)
}

// Anyone returns what whoever comes without a token is granted, to enter any room
// that lets them: a new person each time, or nil when the project has no domain; no
// project named is the first one. There are no claims, so the grant cannot be refreshed. For revocations
// the domain counts as the key that has signed.
func (d *Domains) Anyone(project, _, name string) *auth.Grant {
	domain, ok := d.ByProject(project)
	f := d.Format(domain.Project)
	if !ok || f == nil {
		return nil
	}
	identity := auth.AnonymousPrefix + rand.Text()
	return &auth.Grant{
		Format:       f,
		Project:      domain.Project,
		KeyID:        domain.ID,
		TokenHash:    sha256.Sum256([]byte(identity)), // so that revocations tell people apart
		Issued:       time.Now(),
		Identity:     identity,
		Name:         name,
		Kind:         auth.Standard,
		Organization: auth.DefaultOrganization,
		Roams:        true,
		Join:         true,
	}
}

// Ignores returns the project that lets somebody with a token that does not hold in
// as if there were none, if it is that generous: the one whose domain the token
// names, of which nothing else is believed; of a token that names none here the
// project that was named besides, or the first.
func (d *Domains) Ignores(token, project string) (named string, ok bool) {
	if id := domainOf(token); id != "" {
		for _, of := range d.state.Load().list {
			if domain := of(); domain.ID == id {
				return domain.Project, !domain.Strict
			}
		}
	}
	domain, ok := d.ByProject(project)
	return domain.Project, ok && !domain.Strict
}

// domainOf returns what a token says its domain is; empty: nothing that can be read.
func domainOf(token string) (id string) {
	_, rest, _ := strings.Cut(token, ".")
	body, _, _ := strings.Cut(rest, ".")
	if len(body) > auth.DefaultMaxTokenBytes {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil || !utf8.Valid(claims) || !json.Valid(claims) ||
		object.ReadExact(claims, object.Field{Name: "d", Into: &id}) != nil {
		return ""
	}
	return id
}
