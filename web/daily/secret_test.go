package daily_test

import (
	"fmt"
	"strings"
	"testing"

	"usher/session/sessiontest"
	"usher/web/daily"
)

// No key, secret or token is in an answer, but for the one that was asked for, or in
// the log, whatever goes wrong.
func TestNothingSecretIsTold(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	token := s.token(`{"room_name":"r","user_id":"ada"}`)
	signed := s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": "bob"})
	stranger := s.SelfSigned("some-other-key-of-32-bytes-and-more", map[string]any{"r": "r"})
	refreshed := func() string {
		c, _ := s.enter("", token)
		return c.Expect("refreshToken").Str("token")
	}()
	var told strings.Builder
	keep := func(a answer) { fmt.Fprintln(&told, a.status, a.header, a.Text) }
	for _, key := range []string{apiKey, secondKey, otherKey, tokenSecret, token, "wrong"} {
		for _, token := range []string{token, signed, stranger, refreshed, strings.Repeat(token, 100)} {
			for _, call := range []string{"GET /meeting-tokens/TOKEN", "GET /meeting-tokens/TOKEN?ignoreNbf=true", "POST /meeting-tokens/TOKEN", "GET /meeting-tokens/TOKEN/x",
				"GET /meeting-tokens//TOKEN", "PUT /meeting-tokens/TOKEN", `POST /meeting-tokens/revoke {"token":"TOKEN","user_id":"x"}`, `POST /meeting-tokens/revoke {"token":"TOKENx"}`,
				`GET /rooms/r/presence?userId=TOKEN`} {
				method, path, body := parts(strings.ReplaceAll(call, "TOKEN", token))
				keep(s.with(key, method, path, body))
			}
		}
		for _, call := range append(append([]string{}, calls...), elsewhere...) {
			if method, path, body := parts(call); !strings.HasPrefix(path, "/meeting-tokens") {
				keep(s.with(key, method, path, body))
			}
		}
	}
	boom := serve(t, options{api: func(c *daily.Config) { c.Rooms = nil }}) // a defect in every call
	for _, call := range calls {
		method, path, body := parts(strings.ReplaceAll(call, "TOKEN", token))
		keep(boom.call(method, path, body))
	}
	for what, secret := range map[string]string{
		"an API key": apiKey, "the second API key": secondKey, "another domain's key": otherKey, "the token secret": tokenSecret, "LiveKit's secret": sessiontest.Secret,
		"a token": signature(token), "a self-signed token": signature(signed), "a stranger's token": signature(stranger), "a refreshed token": signature(refreshed),
	} {
		for where, text := range map[string]string{"answers": told.String(), "log": s.log.String(), "log of a defect": boom.log.String()} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s is in the %s: %s", what, where, text[max(0, i-200):i+len(secret)])
			}
		}
	}
}

// signature is what of a token nobody may see.
func signature(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
