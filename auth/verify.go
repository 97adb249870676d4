package auth

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Errors of [Verifier.Verify] and [Verifier.Refresh]. Each may be wrapped with what was wrong; none
// ever holds a part of the token.
var (
	ErrTooLarge    = errors.New("auth: token too large")
	ErrMalformed   = errors.New("auth: malformed token")
	ErrAlgorithm   = errors.New("auth: token algorithm not accepted")
	ErrUnknownKey  = errors.New("auth: unknown key")
	ErrRevokedKey  = errors.New("auth: key revoked")
	ErrSignature   = errors.New("auth: signature does not match the key")
	ErrNoExpiry    = errors.New("auth: token without exp")
	ErrExpired     = errors.New("auth: token expired")
	ErrNotYetValid = errors.New("auth: token not valid yet")
	ErrNoIdentity  = errors.New("auth: token names no identity")
	ErrNoRoom      = errors.New("auth: token names no room")

	ErrNoToken      = errors.New("auth: no token to refresh")
	ErrTooLongLived = errors.New("auth: token lives too long")
)

// Leeway is how far clocks may differ: exp and nbf are checked with this much
// slack where the format says no other. It is LiveKit's figure.
const Leeway = time.Minute

// DefaultMaxTokenBytes is the largest token read when nothing else is set.
const DefaultMaxTokenBytes = 1 << 20

// A Verifier checks tokens and signs refreshed ones. Its methods may be called
// concurrently, SetKeys included.
type Verifier struct {
	maxBytes int          // static
	maxLife  atomic.Int64 // time.Duration; 0: no limit
	keys     atomic.Pointer[Keys]
}

// NewVerifier returns a Verifier that accepts the given keys and refuses
// tokens of more than maxTokenBytes (0 means DefaultMaxTokenBytes) unread.
func NewVerifier(keys *Keys, maxTokenBytes int) *Verifier {
	if maxTokenBytes <= 0 {
		maxTokenBytes = DefaultMaxTokenBytes
	}
	v := &Verifier{maxBytes: maxTokenBytes}
	v.keys.Store(keys)
	return v
}

// Keys returns the keys in force.
func (v *Verifier) Keys() *Keys { return v.keys.Load() }

// SetKeys replaces the keys in force.
func (v *Verifier) SetKeys(k *Keys) { v.keys.Store(k) }

// MaxTokenBytes is the size above which a token is refused unread.
func (v *Verifier) MaxTokenBytes() int { return v.maxBytes }

// LimitLife makes Verify refuse tokens that live for longer than that, from
// when they were issued until they expire, with [ErrTooLongLived]: then a
// revocation may be forgotten once the tokens it refuses must have expired. 0:
// no limit. Refreshed tokens, whose life is the server's own doing, are exempt.
func (v *Verifier) LimitLife(life time.Duration) { v.maxLife.Store(int64(life)) }

// Verify returns what the token grants. Nothing the token says is believed
// before its signature holds: its issuer, the key id in its header or its domain
// only looks a key up, and that key's configuration fixes project, format and
// algorithm.
func (v *Verifier) Verify(token string) (*Grant, error) { return v.verify(token, inTime) }

// VerifyEarly is like [Verifier.Verify], and returns also what a token grants that
// is not valid yet. It lets nobody in.
func (v *Verifier) VerifyEarly(token string) (*Grant, error) { return v.verify(token, early) }

// VerifyWhenever is like [Verifier.Verify], and returns also what a token grants that
// is not valid yet or has expired: sessions that came with it may go on. It lets nobody in.
func (v *Verifier) VerifyWhenever(token string) (*Grant, error) { return v.verify(token, whenever) }

// strictness is which of a token's times are asked for.
type strictness uint8

const (
	inTime   strictness = iota
	early               // not when it begins to be valid
	whenever            // none
)

func (v *Verifier) verify(token string, when strictness) (*Grant, error) {
	if len(token) > v.maxBytes {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(token), v.maxBytes)
	}
	keys := v.keys.Load()
	claims, key, err := parse(token, keys)
	if err != nil {
		return nil, err
	}
	return v.admit(token, claims, key, keys, when)
}

// admit reads the payload of a token whose signature holds.
func (v *Verifier) admit(token string, claims *payload, key Key, keys *Keys, when strictness) (*Grant, error) {
	at := time.Now()
	t, err := claims.times()
	switch {
	case err != nil:
		return nil, err
	case t.expires.IsZero() && key.Format.RequireExpiry():
		return nil, ErrNoExpiry
	case when < whenever && !t.expires.IsZero() && !at.Before(t.expires.Add(key.Format.Leeway())):
		return nil, ErrExpired
	case when < early && !t.notBefore.IsZero() && at.Before(t.notBefore.Add(-key.Format.Leeway())):
		return nil, ErrNotYetValid
	}
	origin, err := claims.origin(at)
	if err != nil {
		return nil, err
	}
	if life := time.Duration(v.maxLife.Load()); life > 0 && origin == nil {
		if err := t.within(life, at); err != nil {
			return nil, err
		}
	}
	g := claims.grant(token, t, at)
	g.Format, g.Project, g.KeyID, g.Origin = key.Format, key.Project, key.ID, origin
	if origin != nil {
		g.Stay = origin.stay()
	}
	if err := g.Barred(at); err != nil && when < whenever { // its own times have been checked
		return nil, err
	}
	if keys.Refuses(g) {
		return nil, ErrRevokedKey
	}
	if err := key.Format.Decode(g.Claims, g); err != nil {
		return nil, err
	}
	return g, nil
}

// ReadUnverified returns what a token says, whoever wrote it and whenever: it
// checks neither signature nor times. It is for showing people what is in
// their token. Nobody may be let in on its word. A token without an identity
// is returned together with [ErrNoIdentity].
func ReadUnverified(token string, f Format) (*Grant, error) {
	claims, err := parseUnverified(token)
	if err != nil {
		return nil, err
	}
	t, err := claims.times()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	origin, err := claims.origin(now)
	if err != nil {
		return nil, err
	}
	g := claims.grant(token, t, now)
	g.Format, g.Origin = f, origin
	switch f.NamesKey() {
	case ByDomain: // no token says which of its keys
	default:
		if g.KeyID = claims.issuer; g.KeyID == "" {
			g.KeyID = claims.keyID
		}
	}
	if origin != nil {
		g.Stay = origin.stay()
	}
	if err = f.Decode(g.Claims, g); err != nil && !errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	return g, err
}

// Refresh signs a token that tells the present state of a session that came
// with g: every claim of g, the live state, and where it descends from.
// It returns [ErrUnknownKey] when the project has no key left to sign with, and
// [ErrRevokedKey] when g is a revoked key's work, and [ErrNoToken] for people
// who came without a token: they have nothing to come back with.
func (v *Verifier) Refresh(g *Grant, now Current, lifetime time.Duration) (string, error) {
	if g.Format == nil || g.Claims == nil {
		return "", ErrNoToken
	}
	keys := v.keys.Load()
	ids := g.KeyIDs()
	if keys.Refuses(g) {
		return "", ErrRevokedKey
	}
	key, ok := keys.SigningKey(g.KeyID, g.Project, g.Format)
	if !ok {
		return "", ErrUnknownKey
	}
	if !slices.Contains(ids, key.ID) {
		ids = append(ids, key.ID)
	}
	if len(ids) > MaxKeyIDs {
		return "", fmt.Errorf("%w: the refreshed token would descend from more than %d keys", ErrTooLarge, MaxKeyIDs)
	}
	issued := time.Now()
	claims, err := g.Format.Refresh(g, now, key.ID, issued, issued.Add(lifetime))
	if err != nil {
		return "", fmt.Errorf("auth: refreshing a token: %w", err)
	}
	token, err := sign(key.header(), claims, key.Secret)
	if err != nil {
		return "", err
	}
	if len(token) > v.maxBytes {
		return "", fmt.Errorf("%w: the refreshed token would have %d bytes, the limit is %d", ErrTooLarge, len(token), v.maxBytes)
	}
	return token, nil
}
