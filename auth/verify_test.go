package auth_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

func TestVerifyTakesATokenApart(t *testing.T) {
	good := sign(plainHeader, claims(""), secret)
	head, rest, _ := strings.Cut(good, ".")
	body, mac, _ := strings.Cut(rest, ".")

	other := hmac.New(sha512.New384, []byte(secret))
	hs384 := b64(`{"alg":"HS384","typ":"JWT"}`) + "." + body
	other.Write([]byte(hs384))

	// The last character of the signature carries two bits that mean nothing.
	// A lenient decoder reads four spellings of it alike.
	loose := good[:len(good)-1] + string(nextInAlphabet(good[len(good)-1]))

	for _, test := range []struct {
		name, token string
		want        error
	}{
		{"as it should be", good, nil},
		{"no typ, spaces in the header", sign(` { "alg" : "HS256" } `, claims(""), secret), nil},
		{"kid, jku and x5c mean nothing", sign(`{"alg":"HS256","kid":"other","jku":"https://evil.example","x5c":["AA"]}`, claims(""), secret), nil},
		{"a kid of 512 KiB", sign(`{"alg":"HS256","kid":"`+strings.Repeat("k", 512<<10)+`"}`, claims(""), secret), nil},

		{"alg none", b64(`{"alg":"none"}`) + "." + body + ".", auth.ErrAlgorithm},
		{"alg none, signed all the same", sign(`{"alg":"none"}`, claims(""), secret), auth.ErrAlgorithm},
		{"alg nOnE", b64(`{"alg":"nOnE"}`) + "." + body + ".", auth.ErrAlgorithm},
		{"alg HS384", hs384 + "." + b64(string(other.Sum(nil))), auth.ErrAlgorithm},
		{"alg RS256 with an HMAC", sign(`{"alg":"RS256"}`, claims(""), secret), auth.ErrAlgorithm},
		{"alg hs256", sign(`{"alg":"hs256"}`, claims(""), secret), auth.ErrAlgorithm},
		{"alg of another type", sign(`{"alg":["HS256"]}`, claims(""), secret), auth.ErrAlgorithm},
		{"alg null", sign(`{"alg":null}`, claims(""), secret), auth.ErrAlgorithm},
		{"no alg", sign(`{"typ":"JWT"}`, claims(""), secret), auth.ErrAlgorithm},
		{"alg twice, the last is none", sign(`{"alg":"HS256","alg":"none"}`, claims(""), secret), auth.ErrAlgorithm},
		{"a critical extension", sign(`{"alg":"HS256","crit":["b64"],"b64":false}`, claims(""), secret), auth.ErrMalformed},
		{"crit null", sign(`{"alg":"HS256","crit":null}`, claims(""), secret), auth.ErrMalformed},
		{"the header is no object", sign(`["HS256"]`, claims(""), secret), auth.ErrMalformed},
		{"the header is not JSON", sign(`{"alg":"HS256"`, claims(""), secret), auth.ErrMalformed},

		{"signature stripped", head + "." + body + ".", auth.ErrSignature},
		{"signature cut off", good[:len(good)-3], auth.ErrSignature},
		{"signature of another secret", sign(plainHeader, claims(""), "not-the-secret"), auth.ErrSignature},
		{"signature of another payload", head + "." + b64(claims(`,"name":"eve"`)) + "." + mac, auth.ErrSignature},
		{"signature in another spelling", loose, auth.ErrMalformed},
		{"padding", good + "=", auth.ErrMalformed},
		{"base64 of the other alphabet", head + "." + body + "." + strings.Repeat("+", 43), auth.ErrMalformed},
		{"a line break within", good[:len(good)-7] + "\n" + good[len(good)-7:], auth.ErrMalformed},
		{"a line break behind", good + "\r\n", auth.ErrMalformed},
		{"a space in front", " " + good, auth.ErrMalformed},

		{"empty", "", auth.ErrMalformed},
		{"one part", "token", auth.ErrMalformed},
		{"two parts", head + "." + body, auth.ErrMalformed},
		{"four parts", good + ".", auth.ErrMalformed},
		{"five parts, as an encrypted token", head + "..." + mac + ".", auth.ErrMalformed},
		{"a thousand parts", strings.Repeat("e30.", 1000), auth.ErrMalformed},

		{"the payload is not JSON", sign(plainHeader, claims("")+"}", secret), auth.ErrMalformed},
		{"the payload is null", sign(plainHeader, `null`, secret), auth.ErrMalformed},
		{"the payload is a list", sign(plainHeader, `[]`, secret), auth.ErrMalformed},
		{"the payload is not UTF-8", sign(plainHeader, claims(`,"x":"`+"\xff"+`"`), secret), auth.ErrMalformed},
		{"the payload is nested deeply", sign(plainHeader, claims(`,"x":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), secret), auth.ErrMalformed},

		{"iss missing", sign(plainHeader, `{"sub":"ada","exp":9999999999}`, secret), auth.ErrUnknownKey},
		{"iss unknown", sign(plainHeader, `{"iss":"APIother","exp":9999999999}`, secret), auth.ErrUnknownKey},
		{"iss of another type", sign(plainHeader, `{"iss":7,"exp":9999999999}`, secret), auth.ErrMalformed},
		{"iss twice", sign(plainHeader, claims(`,"iss":"`+keyID+`"`), secret), auth.ErrMalformed},
		{"exp twice", sign(plainHeader, claims(`,"exp":9999999999`), secret), auth.ErrMalformed},
		{"exp twice, in another case", sign(plainHeader, claims(`,"EXP":9999999999`), secret), auth.ErrMalformed},
		{"exp twice, escaped", sign(plainHeader, claims(`,"\u0065xp":9999999999`), secret), auth.ErrMalformed},
		{"a claim nobody knows twice", sign(plainHeader, claims(`,"x":1,"x":2`), secret), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := newVerifier(t).Verify(test.token)
			if !errors.Is(err, test.want) || (err == nil) != (g != nil) {
				t.Fatalf("got grant %v and error %v, want error %v", g != nil, err, test.want)
			}
		})
	}
}

// nextInAlphabet returns another last character with the same meaning for a
// decoder that does not look at trailing bits.
func nextInAlphabet(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, c)
	return alphabet[i^1]
}

// Times are those of a bubble, whose clock stands still.
func TestVerifyLooksAtTimes(t *testing.T) {
	const (
		second = 1
		leeway = int64(auth.Leeway / time.Second)
	)
	type instant = int64 // relative to now
	at := func(name string, offset instant) func(now int64) string {
		return func(now int64) string { return fmt.Sprintf(`,"%s":%d`, name, now+offset) }
	}
	verbatim := func(claims string) func(int64) string {
		return func(int64) string { return claims }
	}
	for _, test := range []struct {
		name   string
		claims func(now int64) string
		want   error
	}{
		{"exp to come", at("exp", 1), nil},
		{"exp now", at("exp", 0), nil},
		{"exp just inside the leeway", at("exp", -leeway+second), nil},
		{"exp at the leeway", at("exp", -leeway), auth.ErrExpired},
		{"exp before the leeway", at("exp", -leeway-second), auth.ErrExpired},
		{"exp with a fraction", func(now int64) string { return fmt.Sprintf(`,"exp":%d.999`, now-leeway) }, auth.ErrExpired},
		{"exp with a fraction, to come", func(now int64) string { return fmt.Sprintf(`,"exp":%d.5`, now) }, nil},
		{"exp with an exponent", verbatim(`,"exp":9.9e9`), nil},
		{"exp in quotes", verbatim(`,"exp":"9999999999"`), nil},
		{"exp in quotes, over", verbatim(`,"exp":"1"`), auth.ErrExpired},
		{"exp in milliseconds", verbatim(`,"exp":4102444800000`), nil},
		{"exp missing", verbatim(``), auth.ErrNoExpiry},
		{"exp null", verbatim(`,"exp":null`), auth.ErrNoExpiry},
		{"exp zero", verbatim(`,"exp":0`), auth.ErrExpired},
		{"exp negative", verbatim(`,"exp":-1`), auth.ErrExpired},
		{"exp at Go's zero time", verbatim(`,"exp":-62135596800`), auth.ErrExpired},
		{"exp 1e300", verbatim(`,"exp":1e300`), auth.ErrMalformed},
		{"exp -1e300", verbatim(`,"exp":-1e300`), auth.ErrMalformed},
		{"exp 1e999", verbatim(`,"exp":1e999`), auth.ErrMalformed},
		{"exp of 400 digits", verbatim(`,"exp":` + strings.Repeat("9", 400)), auth.ErrMalformed},
		{"exp is a word", verbatim(`,"exp":"tomorrow"`), auth.ErrMalformed},
		{"exp is empty", verbatim(`,"exp":""`), auth.ErrMalformed},
		{"exp is infinite", verbatim(`,"exp":"inf"`), auth.ErrMalformed},
		{"exp in hexadecimal", verbatim(`,"exp":"0x7fffffff"`), auth.ErrMalformed},
		{"exp is true", verbatim(`,"exp":true`), auth.ErrMalformed},
		{"exp is a list", verbatim(`,"exp":[9999999999]`), auth.ErrMalformed},

		{"nbf gone", both(at("nbf", -1)), nil},
		{"nbf to come, within the leeway", both(at("nbf", leeway)), nil},
		{"nbf to come", both(at("nbf", leeway+second)), auth.ErrNotYetValid},
		{"nbf zero", both(verbatim(`,"nbf":0`)), nil},
		{"nbf null", both(verbatim(`,"nbf":null`)), nil},
		{"nbf negative", both(verbatim(`,"nbf":-5`)), nil},
		{"nbf 1e300", both(verbatim(`,"nbf":1e300`)), auth.ErrMalformed},
		{"nbf is a word", both(verbatim(`,"nbf":"now"`)), auth.ErrMalformed},

		{"iat is not a bound", both(at("iat", 86400)), nil},
		{"iat 1e300", both(verbatim(`,"iat":1e300`)), auth.ErrMalformed},
		{"iat is an object", both(verbatim(`,"iat":{}`)), auth.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				payload := `{"iss":"` + keyID + `","sub":"ada"` + test.claims(time.Now().Unix()) + `}`
				g, err := newVerifier(t).Verify(sign(plainHeader, payload, secret))
				if !errors.Is(err, test.want) || (err == nil) != (g != nil) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}

// both adds an exp that holds.
func both(claims func(int64) string) func(int64) string {
	return func(now int64) string { return `,"exp":9999999999` + claims(now) }
}

func TestIssuedIsNeverInTheFuture(t *testing.T) {
	const epoch = "epoch"
	for _, test := range []struct {
		name     string
		iat, nbf string // offsets from now in seconds, "" for no such claim
		want     string // an offset, or epoch
	}{
		{"iat", "-100", "", "-100"},
		{"iat before nbf", "-100", "-50", "-100"},
		{"nbf without iat", "", "-50", "-50"},
		{"neither", "", "", epoch},
		{"iat within the leeway of a fast clock", "60", "", "60"},
		{"iat in the future says nothing", "61", "-50", "-50"},
		{"iat in the future, alone", "1000000000000", "", epoch},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now().Truncate(time.Second)
				payload := `{"iss":"` + keyID + `","sub":"ada","exp":9999999999`
				want := time.Unix(0, 0)
				for name, offset := range map[string]string{"iat": test.iat, "nbf": test.nbf} {
					if offset != "" {
						payload += fmt.Sprintf(`,"%s":%d`, name, now.Unix()+number(t, offset))
					}
				}
				if test.want != epoch {
					want = now.Add(time.Duration(number(t, test.want)) * time.Second)
				}
				g, err := newVerifier(t).Verify(sign(plainHeader, payload+"}", secret))
				if err != nil {
					t.Fatal(err)
				}
				if !g.Issued.Equal(want) {
					t.Fatalf("issued %v, want %v", g.Issued, want)
				}
			})
		})
	}
}

func number(t *testing.T, s string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVerifyFillsInTheGrant(t *testing.T) {
	payload := claims(`,"jti":"T1","iat":1000,"nbf":900,"x":{"n":123456789012345678901234567890}`)
	token := sign(plainHeader, payload, secret)
	g, err := newVerifier(t).Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case g.Format.Name() != "livekit", g.Project != "acme", g.KeyID != keyID:
		t.Errorf("format, project, key: %v %q %q", g.Format, g.Project, g.KeyID)
	case g.TokenID != "T1", g.FirstTokenID() != "T1", g.FirstKeyID() != keyID:
		t.Errorf("ids: %q %q %q", g.TokenID, g.FirstTokenID(), g.FirstKeyID())
	case g.Issued.Unix() != 1000, g.FirstIssued().Unix() != 1000, g.Expires.Unix() != 9999999999:
		t.Errorf("times: %v %v %v", g.Issued, g.FirstIssued(), g.Expires)
	case string(g.Claims) != payload:
		t.Errorf("claims: %s", g.Claims)
	case g.Origin != nil:
		t.Errorf("origin: %v", g.Origin)
	}
	again, err := newVerifier(t).Verify(sign(` {"alg":"HS256"}`, payload, secret))
	if err != nil || again.TokenHash == g.TokenHash {
		t.Errorf("two tokens have one hash (error %v)", err)
	}
}

func TestTheOriginClaimIsOurs(t *testing.T) {
	for _, test := range []struct {
		claim string
		want  error
	}{
		{`{"kid":"APIold","iat":7,"jti":"T0","sid":"PA_1"}`, nil},
		{`null`, nil},
		{`{"kid":"APIrevoked","iat":7,"sid":"PA_1"}`, auth.ErrRevokedKey},
		{`{"iat":7}`, auth.ErrMalformed},
		{`{"kid":"","iat":7}`, auth.ErrMalformed},
		{`{"kid":7}`, auth.ErrMalformed},
		{`{"kid":"APIold","iat":"soon"}`, auth.ErrMalformed},
		{`{"kid":"APIold","kids":["APIthen"],"iat":7,"jti":"T0","hash":"` + strings.Repeat("A", 43) + `","sid":"PA_1"}`, nil},
		{`{"kid":"APIold","kids":["APIthen","APIrevoked"],"iat":7,"sid":"PA_1"}`, auth.ErrRevokedKey},
		{`{"kid":"APIold","kids":[""],"iat":7}`, auth.ErrMalformed},
		{`{"kid":"APIold","kids":"APIthen","iat":7}`, auth.ErrMalformed},
		{`{"kid":"APIold","kids":[` + strings.Repeat(`"k",`, auth.MaxKeyIDs) + `"k"],"iat":7}`, auth.ErrMalformed},
		{`{"kid":"APIold","iat":7,"hash":"` + strings.Repeat("A", 42) + `"}`, auth.ErrMalformed},
		{`{"kid":"APIold","iat":7,"hash":"` + strings.Repeat("A", 43) + `="}`, auth.ErrMalformed},
		{`{"kid":"APIold","iat":7,"hash":7}`, auth.ErrMalformed},
		{`"mine"`, auth.ErrMalformed},
	} {
		v := auth.NewVerifier(newKeys(t, []auth.Key{acmeKey()}, "APIrevoked"), 0)
		g, err := v.Verify(sign(plainHeader, claims(`,"jti":"T9","usher":`+test.claim), secret))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.claim, err, test.want)
		}
		if err == nil && g.Origin != nil && (g.FirstKeyID() != "APIold" || g.FirstIssued().Unix() != 7 || g.FirstTokenID() != "T0") {
			t.Errorf("%s: got %v", test.claim, g.Origin)
		}
	}
}

// A limit of a token's life counts from when it was issued, as far as that is
// believed. What this server has refreshed is not held to it.
func TestVerifyLimitsLife(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims string // with offsets from now for %d
		times  []any
		want   error
	}{
		{"as long as allowed", `,"iat":%d,"exp":%d`, []any{-100, 3500}, nil},
		{"a second longer", `,"iat":%d,"exp":%d`, []any{-100, 3501}, auth.ErrTooLongLived},
		{"nbf without iat", `,"nbf":%d,"exp":%d`, []any{-100, 3500}, nil},
		{"nbf without iat, longer", `,"nbf":%d,"exp":%d`, []any{-100, 3501}, auth.ErrTooLongLived},
		{"iat counts before nbf", `,"iat":%d,"nbf":%d,"exp":%d`, []any{-200, -100, 3500}, auth.ErrTooLongLived},
		{"neither", `,"exp":%d`, []any{10}, auth.ErrTooLongLived},
		{"iat in the future says nothing", `,"iat":%d,"exp":%d`, []any{100000, 100010}, auth.ErrTooLongLived},
		{"iat of a fast clock", `,"iat":%d,"exp":%d`, []any{60, 3660}, nil},
		{"expired all the same", `,"iat":%d,"exp":%d`, []any{-100000, -100}, auth.ErrExpired},
		{"exp in milliseconds", `,"iat":%d,"exp":4102444800000`, []any{0}, auth.ErrTooLongLived},
		{"refreshed", `,"iat":%d,"exp":%d,"usher":{"kid":"APIacme","iat":7,"sid":"PA_1"}`, []any{0, 7200}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := make([]any, len(test.times))
				for i, offset := range test.times {
					at[i] = time.Now().Unix() + int64(offset.(int))
				}
				token := sign(plainHeader, `{"iss":"`+keyID+`","sub":"ada"`+fmt.Sprintf(test.claims, at...)+`}`, secret)
				v := newVerifier(t)
				if _, err := v.Verify(token); test.want == auth.ErrTooLongLived && err != nil {
					t.Fatalf("without a limit: %v", err)
				}
				v.LimitLife(time.Hour)
				g, err := v.Verify(token)
				if !errors.Is(err, test.want) || (err == nil) != (g != nil) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}

// A token over the limit is not looked at: what it costs does not depend on
// what it is.
func TestTooLargeTokensAreNotRead(t *testing.T) {
	const limit = 4 << 10
	v := auth.NewVerifier(newKeys(t, []auth.Key{acmeKey()}), limit)
	pad := func(size int) string {
		empty := len(sign(plainHeader, claims(`,"x":""`), secret))
		return sign(plainHeader, claims(`,"x":"`+strings.Repeat("x", (size-empty)*3/4)+`"`), secret)
	}
	fits, large := pad(limit-4), pad(limit+8)
	if len(fits) > limit || len(large) <= limit {
		t.Fatalf("the test's tokens have %d and %d bytes", len(fits), len(large))
	}
	if _, err := v.Verify(fits); err != nil {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	huge := sign(plainHeader, claims(`,"x":"`+strings.Repeat("x", 1<<20)+`"`), secret)
	for _, token := range []string{large, huge, strings.Repeat(".", 1<<20), strings.Repeat("\n", 1<<20)} {
		if _, err := v.Verify(token); !errors.Is(err, auth.ErrTooLarge) {
			t.Errorf("%d bytes: got %v", len(token), err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			_, _ = v.Verify(token)
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / 10; n > 2048 {
			t.Errorf("refusing %d bytes allocated %d", len(token), n)
		}
	}
}

func TestDefaultLimit(t *testing.T) {
	v := auth.NewVerifier(newKeys(t, nil), 0)
	if v.MaxTokenBytes() != auth.DefaultMaxTokenBytes {
		t.Errorf("got %d", v.MaxTokenBytes())
	}
}

func TestReadUnverifiedChecksNeitherSignatureNorTimes(t *testing.T) {
	g, err := auth.ReadUnverified(sign(plainHeader, `{"iss":"APIelse","sub":"ada","exp":1,"video":{"room":"lab"}}`, "whatever"), livekit.Format{})
	if err != nil || g.KeyID != "APIelse" || g.Identity != "ada" || g.Room != "lab" || g.Expires.Unix() != 1 || g.Project != "" {
		t.Errorf("got %+v, %v", g, err)
	}
	g, err = auth.ReadUnverified(sign(plainHeader, `{"video":{"roomJoin":true,"room":"lab"}}`, "whatever"), livekit.Format{})
	if !errors.Is(err, auth.ErrNoIdentity) || g == nil || g.Room != "lab" {
		t.Errorf("without an identity: got %+v, %v", g, err)
	}
	for _, token := range []string{"", "a.b.c", sign(`{"alg":"none"}`, claims(""), ""), sign(plainHeader, claims(`,"name":7`), secret)} {
		if g, err := auth.ReadUnverified(token, livekit.Format{}); err == nil || g != nil {
			t.Errorf("%q: got %v, %v", token, g, err)
		}
	}
}
