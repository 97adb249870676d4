package daily_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

// Whatever is printed, and however, no key is in it.
func TestDomainsShowNoKey(t *testing.T) {
	h := newHouse(t)
	domain, _ := h.ByProject("acme")
	g := h.grant(t, `,"ud":"ada"`)
	things := map[string]any{
		"domains": h.Domains, "a domain": domain, "a pointer to one": &domain, "a list": []daily.Domain{domain},
		"keys": h.Domains.Keys(), "in a struct": struct{ unexported *daily.Domains }{h.Domains}, "a grant": g, "nobody's grant": h.Anyone("acme", "lab", ""),
		"a format": h.Format("acme"),
	}
	for name, thing := range things {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "thing", thing)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "thing", thing)
		if encoded, err := json.Marshal(thing); err == nil {
			out.Write(encoded)
		}
		for _, key := range []string{apiKey, otherAPIKey, tokenSecret} {
			bare := []byte(key)
			for _, form := range []string{key, hex.EncodeToString(bare), strings.ToUpper(hex.EncodeToString(bare)), strings.Trim(fmt.Sprint(bare), "[]"),
				base64.StdEncoding.EncodeToString(bare), base64.RawURLEncoding.EncodeToString(bare)} {
				if strings.Contains(out.String(), form) {
					t.Errorf("%s shows a key as %q", name, form)
				}
			}
		}
	}
}

// An error may reach a close reason or a log. It has nothing of the token in it.
func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	h := newHouse(t)
	refused := 0
	for _, value := range []string{
		`"MARKER"`, `{"MARKER":"MARKER"}`, `["MARKER"]`, `7`, `true`, `"anon:MARKER"`, `{"cs":"MARKER"}`, `{"cs":["MARKER"]}`, `{"ca":{"MARKER":1}}`,
		`{"cr":{"MARKER":true}}`, `{"cr":{"b":{"MARKER":true}}}`, `{"cr":{"u":{"MARKER":7}}}`, `{"cr":{"u":{"MARKER":{"MARKER":true}}}}`, `{"cr":{"p":{"MARKER":true,"MARKER":true}}}`,
		`{"hp":"MARKER"}`, `{"room":"MARKER"}`, `{"room":"MARKER","denied":["MARKER"]}`, `{"kid":"MARKER","iat":1,"sid":"MARKER"}`, `"` + strings.Repeat("MARKER", 9) + `"`,
	} {
		for _, name := range []string{"d", "r", "ud", "u", "o", "k", "p", "ss", "vo", "ao", "ejt", "eje", "exp", "nbf", "iat", "jti", "iss", "live", "usher", "MARKER"} {
			for _, secret := range []string{apiKey, "MARKER-MARKER-MARKER-MARKER-MARKER-MARKER"} {
				for _, domain := range []string{domainID, "MARKER"} {
					_, err := h.Verify(signWith(t, secret, `{"d":"`+domain+`","x":"MARKER","`+name+`":`+value+`}`))
					if err == nil {
						continue
					}
					refused++
					if strings.Contains(err.Error(), "MARKER") {
						t.Errorf("%s %s: %v", name, value, err)
					}
				}
			}
		}
	}
	if refused < 500 {
		t.Errorf("only %d tokens were refused", refused)
	}
}

func TestDomainsWhileTheyAreSet(t *testing.T) {
	one, two := acme(), acme()
	two.APIKeys = two.APIKeys[1:]
	d := daily.NewDomains([]daily.Domain{one})
	format := d.Format("acme")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if _, ok := d.ByAPIKey(otherAPIKey); !ok {
					t.Error("a key that is always there does not open")
				}
				g := d.Anyone("acme", "lab", "")
				if g.Format != format || len(g.Format.Base(g, "lab", auth.RoomRules{Daily: &auth.Say{}})) != 1 {
					t.Error("the format is another one")
				}
				d.SetPermissions("acme", auth.Say{Deny: auth.SendCamera})
				d.Permissions("acme")
			}
		})
	}
	for i := range 100 {
		d.Set([]daily.Domain{[]daily.Domain{one, two}[i%2]})
	}
	wg.Wait()
}

// Tokens of one second with the same properties are one token, as Daily's are.
func TestMintIsNotRandom(t *testing.T) {
	first, again := mint(t, `{"user_id":"ada"}`), mint(t, `{"user_id":"ada"}`)
	if first != again {
		t.Error("two tokens")
	}
	if later, err := daily.Mint(acme(), json.RawMessage(`{"user_id":"ada"}`), issued.Add(time.Second)); err != nil || later == first {
		t.Errorf("a second later: %v", err)
	}
}
