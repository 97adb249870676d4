package liveblocks_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

const secret = "a-secret-of-more-than-32-characters"

var (
	format = liveblocks.New(liveblocks.Config{ReadersBroadcast: true})
	key    = liveblocks.NewKey(format, "acme", auth.Secret(secret))
)

func newVerifier(t testing.TB) *auth.Verifier {
	t.Helper()
	keys, err := auth.NewKeys([]auth.Key{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewVerifier(keys, 0)
}

// minter is a token to be made of either kind.
type minter interface {
	Mint(auth.Key, time.Duration) (string, error)
}

func mint(t testing.TB, m minter) string {
	t.Helper()
	token, err := m.Mint(key, 0)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func grantOf(t testing.TB, m minter) *auth.Grant {
	t.Helper()
	g, err := newVerifier(t).Verify(mint(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// sign makes a token of any claims, to which it adds what every token has.
func sign(t testing.TB, claims string) string {
	t.Helper()
	return signAll(t, `{"pid":"acme","iat":1,"exp":9999999999,"jti":"T1"`+claims+`}`)
}

func signAll(t testing.TB, payload string) string {
	t.Helper()
	token, err := key.Sign(json.RawMessage(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func verify(t testing.TB, claims string) (*auth.Grant, error) {
	t.Helper()
	return newVerifier(t).Verify(sign(t, claims))
}

// members returns the members of an object, which has each once.
func members(t testing.TB, raw json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}

// open is an access list that lets everyone do this.
func open(words ...string) *auth.AccessList { return &auth.AccessList{Default: words} }

// rightsIn is what g may do in a room with that list before anything is stated.
func rightsIn(g *auth.Grant, room string, list *auth.AccessList) auth.Rights {
	return auth.Resolve(g.Format.Base(g, room, auth.RoomRules{List: list})...).Rights
}

func names(r auth.Rights) string { return fmt.Sprint(r.Names()) }
