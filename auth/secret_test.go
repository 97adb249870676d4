package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
)

// Whatever is printed, and however, the secret is not in it.
func TestSecretsAreNotPrinted(t *testing.T) {
	key := acmeKey()
	keys := newKeys(t, []auth.Key{key})
	v := auth.NewVerifier(keys, 0)
	g, err := v.Verify(sign(plainHeader, claims(""), secret))
	if err != nil {
		t.Fatal(err)
	}
	things := map[string]any{
		"a secret": key.Secret, "a pointer to one": &key.Secret, "a list of them": []auth.Secret{key.Secret},
		"a map of them": map[string]auth.Secret{"s": key.Secret},
		"a key":         key, "a pointer to a key": &key, "a list of keys": []auth.Key{key},
		"keys": keys, "keys by value": *keys, "in a struct": struct{ unexported *auth.Keys }{keys},
		"a verifier": v, "a grant": g,
	}
	bare := []byte(secret)
	forms := []string{
		secret,
		hex.EncodeToString(bare), strings.ToUpper(hex.EncodeToString(bare)), fmt.Sprintf("% x", bare),
		strings.Trim(fmt.Sprint(bare), "[]"), // the bytes as numbers
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", bare), "[]byte{"), "}"),
		base64.StdEncoding.EncodeToString(bare), base64.RawURLEncoding.EncodeToString(bare),
	}
	for name, thing := range things {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%T", "%10v"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		fmt.Fprintln(&out, thing, errors.New(fmt.Sprint(thing)))
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "thing", thing)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "thing", thing)
		if encoded, err := json.Marshal(thing); err == nil {
			out.Write(encoded)
		}
		for _, form := range forms {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s shows the secret as %q in\n%s", name, form, &out)
			}
		}
	}
}

// An error may reach a close reason or a log. It has nothing of the token in
// it, neither as it came nor decoded.
func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	v := auth.NewVerifier(newKeys(t, []auth.Key{acmeKey()}, "APIrevoked-MARKER"), 8<<10)
	headers := []string{
		plainHeader, `{"alg":"MARKER"}`, `{"alg":"none","kid":"MARKER"}`, `{"alg":"HS256","crit":["MARKER"]}`,
		`{"alg":"HS256","MARKER":1,"MARKER":2}`, `{"MARKER`, `MARKER`,
	}
	var payloads []string
	for _, value := range []string{
		`"MARKER"`, `{"MARKER":"MARKER"}`, `["MARKER"]`, `7`, `true`, `"-MARKER"`, `1e999`, `{"canPublish":"MARKER"}`, `"anon:MARKER"`,
	} {
		for _, name := range []string{
			"iss", "sub", "jti", "exp", "nbf", "iat", "usher", "name", "kind", "kindDetails", "metadata", "attributes",
			"video", "sip", "agent", "inference", "observability", "roomConfig", "roomPreset", "sha256", "identity", "MARKER",
		} {
			payloads = append(payloads,
				claims(`,"`+name+`":`+value),
				`{"iss":"`+keyID+`","exp":9999999999,"sub":"MARKER","`+name+`":`+value+`}`)
		}
	}
	payloads = append(payloads, `{"iss":"APIrevoked-MARKER"}`, `{"iss":"MARKER"}`, `MARKER`, claims(`,"x":"MARKER`), claims("MARKER"))
	refused := 0
	for _, header := range headers {
		for _, payload := range payloads {
			for _, token := range []string{
				sign(header, payload, secret),
				sign(header, payload, "other"),
				mangled(random, sign(header, payload, secret)),
				sign(header, payload+strings.Repeat(" ", 8<<10), secret),
			} {
				_, err := v.Verify(token)
				if err == nil {
					continue
				}
				refused++
				text := err.Error()
				if strings.Contains(text, "MARKER") {
					t.Fatalf("the error %q tells a value of %s", text, payload)
				}
				for i := range len(text) - 9 {
					if window := text[i : i+9]; strings.Contains(token, window) {
						t.Fatalf("the error %q has %q of the token", text, window)
					}
				}
			}
		}
	}
	if refused < 1000 {
		t.Errorf("only %d tokens were refused", refused)
	}
}

// mangled changes, removes or doubles a few bytes.
func mangled(random *rand.Rand, token string) string {
	b := []byte(token)
	for range 1 + random.IntN(3) {
		i := random.IntN(len(b))
		switch random.IntN(3) {
		case 0:
			b[i] = byte(random.IntN(256))
		case 1:
			b = append(b[:i], b[i+1:]...)
		default:
			b = append(b[:i], append([]byte{b[i]}, b[i:]...)...)
		}
	}
	return string(b)
}

func TestNewKeysRefuses(t *testing.T) {
	key := func(id, secret, project string) auth.Key {
		return auth.Key{ID: id, Secret: auth.Secret(secret), Project: project, Format: livekit.Format{}}
	}
	for _, test := range []struct {
		name    string
		keys    []auth.Key
		revoked []string
		want    string
	}{
		{"no id", []auth.Key{key("", secret, "acme")}, nil, "needs an id"},
		{"no secret", []auth.Key{key("A", "", "acme")}, nil, "needs an id, a secret"},
		{"no format", []auth.Key{{ID: "A", Secret: auth.Secret(secret)}}, nil, "a format"},
		{"in two projects", []auth.Key{key("A", secret, "acme"), key("A", secret, "emca")}, nil, `"acme" and in project "emca"`},
		{"revoked", []auth.Key{key("A", secret, "acme")}, []string{"A"}, "as revoked"},
	} {
		_, err := auth.NewKeys(test.keys, test.revoked)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want …%s…", test.name, err, test.want)
		}
	}
}

func TestKeysOfProjects(t *testing.T) {
	key := func(id, project string) auth.Key {
		return auth.Key{ID: id, Secret: auth.Secret(secret), Project: project, Format: livekit.Format{}}
	}
	keys := newKeys(t, []auth.Key{key("B2", "beta"), key("A1", "alpha"), key("A2", "alpha"), key("B1", "beta")}, "A0")
	if got := fmt.Sprint(keys.Projects()); got != "[alpha beta]" {
		t.Errorf("projects %s", got)
	}
	for _, test := range []struct{ id, project, want string }{
		{"A2", "alpha", "A2"},   // its own key
		{"gone", "alpha", "A1"}, // retired: the first of the project
		{"B1", "alpha", "A1"},   // never another project's
		{"A1", "gamma", ""},
	} {
		got, ok := keys.SigningKey(test.id, test.project, livekit.Format{})
		if got.ID != test.want || ok != (test.want != "") {
			t.Errorf("%v: got %q, %v", test, got.ID, ok)
		}
	}
	if !keys.Revoked("A0") || keys.Revoked("A1") {
		t.Error("the wrong keys are revoked")
	}
	if _, ok := keys.Lookup("A0"); ok {
		t.Error("a revoked key is found")
	}
}
