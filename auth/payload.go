package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"usher/auth/internal/object"
)

// payload is a token's claims as they came, with those picked out that every
// format has. Values that matter only once the signature holds are not read
// before.
//
// It is its own jwt.Claims: times and the rest are checked by us, so the
// library is told nothing.
type payload struct {
	jwt.MapClaims // nil

	issuer, id                          string
	keyID                               string // the header's kid, when there is no issuer
	expires, notBefore, issuedAt, usher json.RawMessage

	raw json.RawMessage
}

// claimsError is what is wrong with a payload.
type claimsError struct{ problem error }

func (e *claimsError) Error() string { return e.problem.Error() }

// UnmarshalJSON is called by the JWT library with the whole payload.
func (p *payload) UnmarshalJSON(raw []byte) error { return p.read(bytes.Clone(raw)) }

// read picks the claims out of a payload, which is valid JSON, and keeps it.
func (p *payload) read(raw []byte) error {
	if !utf8.Valid(raw) {
		return &claimsError{object.ErrInvalid}
	}
	p.raw = raw
	err := object.Read(p.raw,
		object.Field{Name: "iss", Into: &p.issuer},
		object.Field{Name: "jti", Into: &p.id},
		object.Field{Name: "exp", Into: &p.expires},
		object.Field{Name: "nbf", Into: &p.notBefore},
		object.Field{Name: "iat", Into: &p.issuedAt},
		object.Field{Name: "usher", Into: &p.usher},
	)
	if err != nil {
		return &claimsError{err}
	}
	return nil
}

// domain returns the claim d of a token whose key is looked for by it, empty when
// there is none that is a text. Only then it is read: in a token of a format that
// does not know it, it may be anything.
func (p *payload) domain() (domain string, err error) {
	var raw json.RawMessage
	if err := object.ReadExact(p.raw, object.Field{Name: "d", Into: &raw}); err != nil {
		return "", &claimsError{err}
	}
	if len(raw) > 0 && raw[0] == '"' {
		_ = json.Unmarshal(raw, &domain)
	}
	return domain, nil
}

// grant returns what the claims say that every format has.
func (p *payload) grant(token string, t times, now time.Time) *Grant {
	return &Grant{
		TokenID:   p.id,
		TokenHash: sha256.Sum256([]byte(token)),
		Issued:    t.issuedBy(now),
		Expires:   t.expires,
		Claims:    p.raw,
	}
}

// origin reads the claim of refreshed tokens. As with any token, an issue time
// in the future says nothing.
func (p *payload) origin(now time.Time) (*Origin, error) {
	if p.usher == nil {
		return nil, nil
	}
	o := new(Origin)
	if json.Unmarshal(p.usher, o) != nil || !o.check() {
		return nil, fmt.Errorf("%w: the claim usher, which belongs to this server, says something else", ErrMalformed)
	}
	if time.Unix(o.Issued, 0).After(now.Add(Leeway)) {
		o.Issued = 0
	}
	return o, nil
}

// times are a token's; the zero time stands for a claim that is not there.
type times struct{ expires, notBefore, issued time.Time }

func (p *payload) times() (t times, err error) {
	for _, claim := range []struct {
		name string
		raw  json.RawMessage
		into *time.Time
	}{
		{"exp", p.expires, &t.expires},
		{"nbf", p.notBefore, &t.notBefore},
		{"iat", p.issuedAt, &t.issued},
	} {
		if claim.raw == nil {
			continue
		}
		var ok bool
		if *claim.into, ok = parseTime(claim.raw); !ok {
			return t, fmt.Errorf("%w: %s is not a time", ErrMalformed, claim.name)
		}
	}
	return t, nil
}

// issuedBy returns when the token was issued: iat, else nbf, else the Unix
// epoch. A claim that lies in the future says nothing. Believed, it would put
// the token after every revocation to come.
func (t times) issuedBy(now time.Time) time.Time {
	for _, said := range []time.Time{t.issued, t.notBefore} {
		if !said.IsZero() && !said.After(now.Add(Leeway)) {
			return said
		}
	}
	return time.Unix(0, 0)
}

// within refuses a token that lives for longer than life. Of one that does not
// say when it was issued or when it expires nobody knows that it does not.
func (t times) within(life time.Duration, now time.Time) error {
	switch issued := t.issuedBy(now); {
	case t.expires.IsZero():
		return fmt.Errorf("%w: it never expires, the limit is %v", ErrTooLongLived, life)
	case issued.Unix() == 0:
		return fmt.Errorf("%w: it does not say when it was issued, the limit is %v", ErrTooLongLived, life)
	case t.expires.Sub(issued) > life:
		return fmt.Errorf("%w: for %v, the limit is %v", ErrTooLongLived, t.expires.Sub(issued), life)
	}
	return nil
}

const (
	// maxSeconds is the last integer that all JSON readers read alike. It
	// leaves room for times in milliseconds, which LiveKit takes for a year
	// far away, as some applications rely on without knowing it.
	maxSeconds = 1<<53 - 1
	// lastSecond ends the year 9999, beyond which times have no text.
	lastSecond = 253402300799
)

// parseTime reads a NumericDate. A fraction is cut off, times before 1970 count
// as 1970. Like LiveKit it takes a number in quotes for a number.
func parseTime(raw json.RawMessage) (time.Time, bool) {
	seconds, ok := object.Number(raw)
	if !ok || math.Abs(seconds) > maxSeconds {
		return time.Time{}, false
	}
	return time.Unix(int64(max(0, min(seconds, lastSecond))), 0), true
}
