package auth

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// The shorter way to a token's claims says what the library says of every token
// that it accepts, and accepts the usual ones.
func TestUsualTokens(t *testing.T) {
	for _, head := range usualHeaders {
		text, err := base64.RawURLEncoding.DecodeString(head)
		if err != nil || !bytes.Contains(text, []byte(`"alg":"HS256"`)) {
			t.Fatalf("the header %s is %s, %v", head, text, err)
		}
		token := signedBy(t, head, `{"iss":"A","sub":"ada","exp":1}`)
		if _, _, ok := parseUsual(token, anyKey{}); !ok {
			t.Errorf("a token with the header %s took the long way", text)
		}
		agree(t, token)
	}
}

// So does the header by which our own tokens name their key.
func TestUsualTokensThatNameTheirKey(t *testing.T) {
	for _, test := range []struct{ payload, issuer, keyID string }{
		{`{"sub":"ada"}`, "", ownID},
		{`{"iss":null}`, "", ownID},
		{`{"iss":""}`, "", ownID},
		{`{"iss":"A"}`, "A", ""}, // an issuer comes first
	} {
		token := signedBy(t, ownHead, test.payload)
		claims, _, ok := parseUsual(token, anyKey{})
		if !ok || claims.issuer != test.issuer || claims.keyID != test.keyID {
			t.Errorf("%s: got %+v, %v", test.payload, claims, ok)
		}
		agree(t, token)
	}
}

func FuzzUsual(f *testing.F) {
	for _, payload := range []string{`{"iss":"A"}`, `{"iss":"A","ISS":"B"}`, `{"iss":1}`, `{}`, ` {"iss":"A"} `, `{"iss":"A"}x`, "{\"iss\":\"\xff\"}", `null`, `{"exp":null,"x":[{}]}`} {
		f.Add(header, payload, "")
		f.Add(usualHeaders[1], payload, "=")
		f.Add("eyJhbGciOiJub25lIn0", payload, "")
		f.Add(ownHead, payload, "")
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"A","kid":"B"}`)), payload, "")
	}
	f.Fuzz(func(t *testing.T, head, payload, more string) {
		agree(t, signedBy(t, head, payload)+more)
	})
}

// anyKey is a keyring that has one key whatever it is called.
type anyKey struct{}

const ownID = `lb_"1"`

var ownHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"lb_\"1\"","typ":"JWT"}`))

func (anyKey) choose(*payload) ([]sealed, error) { return []sealed{theKey}, nil }

func theKey() Key { return Key{Secret: Secret("a-secret-for-tests-of-32-bytes-and-more")} }

func (anyKey) headed(head string) (string, bool) { return ownID, head == ownHead }

func signedBy(t testing.TB, head, payload string) string {
	text := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac, err := method.Sign(text, []byte(theKey().Secret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(mac)
}

func agree(t *testing.T, token string) {
	t.Helper()
	if oneSpelling(token) != nil {
		return
	}
	got, _, ok := parseUsual(token, anyKey{})
	if !ok {
		return
	}
	want := new(payload)
	parsed, err := parser.ParseWithClaims(token, want, keyOfAny)
	if err != nil || !parsed.Valid {
		t.Fatalf("accepted %q, of which the library says %v", token, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("of %q:\n got %+v\nwant %+v", token, got, want)
	}
}

func keyOfAny(t *jwt.Token) (any, error) {
	key := theKey()
	if err := understood(t); err != nil {
		return nil, err
	}
	return []byte(key.Secret), t.Claims.(*payload).readHeader(t)
}
