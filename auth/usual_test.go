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
		if _, _, ok := parseUsual(token, anyIssuer); !ok {
			t.Errorf("a token with the header %s took the long way", text)
		}
		agree(t, token)
	}
}

func FuzzUsual(f *testing.F) {
	for _, payload := range []string{`{"iss":"A"}`, `{"iss":"A","ISS":"B"}`, `{"iss":1}`, `{}`, ` {"iss":"A"} `, `{"iss":"A"}x`, "{\"iss\":\"\xff\"}", `null`, `{"exp":null,"x":[{}]}`} {
		f.Add(header, payload, "")
		f.Add(usualHeaders[1], payload, "=")
		f.Add("eyJhbGciOiJub25lIn0", payload, "")
	}
	f.Fuzz(func(t *testing.T, head, payload, more string) {
		agree(t, signedBy(t, head, payload)+more)
	})
}

func anyIssuer(string) (Key, error) {
	return Key{Secret: Secret("a-secret-for-tests-of-32-bytes-and-more")}, nil
}

func signedBy(t testing.TB, head, payload string) string {
	text := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	key, _ := anyIssuer("")
	mac, err := method.Sign(text, []byte(key.Secret))
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
	got, _, ok := parseUsual(token, anyIssuer)
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
	key, _ := anyIssuer("")
	return []byte(key.Secret), understood(t)
}
