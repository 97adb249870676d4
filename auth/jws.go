package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"usher/auth/internal/object"
)

// method is the one algorithm of every token here. [understood] pins it.
var method = jwt.SigningMethodHS256

// parser takes tokens apart. Times are checked later, when the format of the
// token's key is known.
var parser = jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// A keyring is where the key of a token is found: [Keys].
type keyring interface {
	// choose returns the keys of which one has signed a token with these claims;
	// nearly always that is one key. The list is not to be changed.
	choose(claims *payload) ([]sealed, error)
	// headed returns the id of the key whose tokens made here all begin with
	// this header.
	headed(head string) (id string, ok bool)
}

// parse takes a token apart and checks its signature with the key of the ring
// that it names.
func parse(token string, ring keyring) (*payload, Key, error) {
	if err := oneSpelling(token); err != nil {
		return nil, Key{}, err
	}
	if claims, key, ok := parseUsual(token, ring); ok {
		return claims, key, nil
	}
	var (
		claims payload
		key    Key
	)
	_, err := parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		err := understood(t)
		if err == nil {
			err = claims.readHeader(t)
		}
		if err == nil {
			key, err = chooseSigned(ring, &claims, t)
		}
		return []byte(key.Secret), err
	})
	if err != nil {
		return nil, Key{}, parseError(err)
	}
	return &claims, key, nil
}

// chooseSigned returns the key that has signed t, which is understood, of those
// that its claims name, or if none has any of them.
func chooseSigned(ring keyring, claims *payload, t *jwt.Token) (Key, error) {
	keys, err := ring.choose(claims)
	if err != nil {
		return Key{}, err
	}
	if len(keys) > 1 {
		if key, ok := signer(keys, t.Raw[:strings.LastIndexByte(t.Raw, '.')], t.Signature); ok {
			return key, nil
		}
	}
	return keys[0](), nil
}

// signer returns the one of the keys that the signature of a text is of.
func signer(keys []sealed, text string, signature []byte) (Key, bool) {
	for _, seal := range keys {
		if key := seal(); method.Verify(text, signature, []byte(key.Secret)) == nil {
			return key, true
		}
	}
	return Key{}, false
}

// usualHeaders are how nearly all libraries spell the header of an HS256 token.
var usualHeaders = []string{
	header,
	"eyJhbGciOiJIUzI1NiJ9",                 // {"alg":"HS256"}
	"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9", // {"typ":"JWT","alg":"HS256"}
}

// parseUsual is parse for a token with one of those headers, or one that a key
// of the ring signs with, and nothing wrong with it: it leaves out what the
// library does to find out about headers, half of the time that a token takes.
// Of every other token it reports false, and the library says what is wrong.
func parseUsual(token string, ring keyring) (*payload, Key, bool) {
	head, rest, _ := strings.Cut(token, ".")
	body, mac, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, Key{}, false
	}
	id, known := "", slices.Contains(usualHeaders, head)
	if !known {
		id, known = ring.headed(head)
	}
	if !known {
		return nil, Key{}, false
	}
	raw, err := strict.DecodeString(body)
	if err != nil || len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, Key{}, false
	}
	signature, err := strict.DecodeString(mac)
	if err != nil {
		return nil, Key{}, false
	}
	claims := new(payload)
	if claims.read(raw) != nil {
		return nil, Key{}, false
	}
	if claims.issuer == "" {
		claims.keyID = id
	}
	keys, err := ring.choose(claims)
	if err != nil {
		return nil, Key{}, false
	}
	key, ok := signer(keys, token[:len(head)+1+len(body)], signature)
	return claims, key, ok
}

var strict = base64.RawURLEncoding.Strict()

// parseUnverified takes a token apart. Nothing in it is to be believed.
func parseUnverified(token string) (*payload, error) {
	if err := oneSpelling(token); err != nil {
		return nil, err
	}
	var claims payload
	t, _, err := parser.ParseUnverified(token, &claims)
	if err == nil {
		err = understood(t)
	}
	if err == nil {
		err = claims.readHeader(t)
	}
	if err != nil {
		return nil, parseError(err)
	}
	return &claims, nil
}

// oneSpelling refuses line breaks, which base64 decoders pass over, strict ones
// too. They would give one token many hashes, and revocation goes by those.
func oneSpelling(token string) error {
	if strings.ContainsAny(token, "\r\n") {
		return ErrMalformed
	}
	return nil
}

// understood refuses every algorithm but ours, and extensions that a token says
// must be understood. Of the rest of a header only kid matters, and that only
// in a token without an issuer, see readHeader: jku and x5c say nothing here.
func understood(t *jwt.Token) error {
	if t.Method != method {
		return ErrAlgorithm
	}
	if t.Claims.(*payload).raw == nil {
		return &claimsError{object.ErrInvalid} // null
	}
	if _, ok := t.Header["crit"]; ok {
		return fmt.Errorf("%w: critical header parameters are not supported", ErrMalformed)
	}
	return nil
}

var errHeader = fmt.Errorf("%w: its header is not JSON in UTF-8", ErrMalformed)

// readHeader reads the id of the key from the header of a token whose payload
// names no issuer. With an issuer kid means nothing, whatever it says. As with
// claims, what is read may not come twice. t is understood.
func (p *payload) readHeader(t *jwt.Token) error {
	if p.issuer != "" {
		return nil
	}
	head, _, _ := strings.Cut(t.Raw, ".")
	raw, err := strict.DecodeString(head)
	if err != nil || !utf8.Valid(raw) {
		return errHeader
	}
	var alg, id string
	if err := object.Read(raw, object.Field{Name: "alg", Into: &alg}, object.Field{Name: "kid", Into: &id}); err != nil {
		return &claimsError{err}
	}
	p.keyID, _ = t.Header["kid"].(string) // in this case of letters and no other
	return nil
}

// parseError turns an error of the JWT library into one of ours. The library's
// own texts are dropped: some quote the token.
func parseError(err error) error {
	for _, own := range []error{ErrUnknownKey, ErrRevokedKey, ErrAlgorithm} {
		if errors.Is(err, own) {
			return own
		}
	}
	var claims *claimsError
	switch {
	case errors.As(err, &claims):
		return fmt.Errorf("%w: %w", ErrMalformed, claims.problem)
	case errors.Is(err, errHeader):
		return errHeader
	case errors.Is(err, ErrMalformed):
		return fmt.Errorf("%w: critical header parameters are not supported", ErrMalformed)
	case errors.Is(err, jwt.ErrTokenMalformed):
		return fmt.Errorf("%w: it is not three parts of base64url and JSON", ErrMalformed)
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return ErrAlgorithm
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrSignature
	}
	return ErrMalformed
}

// header is the first part of every token made here that names its key in its
// claims: {"alg":"HS256","typ":"JWT"}.
const header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

// header is the first part of every token that the key signs here.
func (k Key) header() string {
	if k.Format.NamesKey() != ByKeyID {
		return header
	}
	return base64.RawURLEncoding.EncodeToString(append(append([]byte(`{"alg":"HS256","kid":`), object.String(k.ID)...), `,"typ":"JWT"}`...))
}

// Sign returns the HS256 token with the given claims, a JSON object, which it
// contains byte for byte: the library would encode them anew. The claims have to
// name the key that the secret is of; [Key.Sign] also serves formats in which
// the header does.
func Sign(claims json.RawMessage, secret Secret) (string, error) {
	if err := signable(claims); err != nil {
		return "", err
	}
	return sign(header, claims, secret)
}

// Sign is like [Sign], with the header by which tokens of the key's format are
// found to be signed with it.
func (k Key) Sign(claims json.RawMessage) (string, error) {
	if k.ID == "" || len(k.Secret) == 0 || k.Format == nil {
		return "", errors.New("auth: a key to sign with needs an id, a secret and a format")
	}
	if err := signable(claims); err != nil {
		return "", err
	}
	return sign(k.header(), claims, k.Secret)
}

func signable(claims json.RawMessage) error {
	if !json.Valid(claims) || claims[0] != '{' {
		return errors.New("auth: the claims to sign are not a JSON object")
	}
	return nil
}

// sign returns the token of a header, in base64url, and of claims that are known
// to be an object.
func sign(header string, claims json.RawMessage, secret Secret) (string, error) {
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(header)+encoding.EncodedLen(len(claims))+48)
	token = append(token, header...)
	token = append(token, '.')
	token = encoding.AppendEncode(token, claims)
	signature, err := method.Sign(string(token), []byte(secret))
	if err != nil {
		return "", fmt.Errorf("auth: signing a token: %w", err)
	}
	token = append(token, '.')
	return string(encoding.AppendEncode(token, signature)), nil
}
