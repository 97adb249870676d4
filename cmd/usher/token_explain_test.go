package main

import (
	"strings"
	"testing"

	"usher/auth"
)

// What was refused before its signature was looked at is not said to be good.
func TestExplainSaysWhatWasNotChecked(t *testing.T) {
	t.Setenv("USHER_API_KEY", "K")
	t.Setenv("USHER_API_SECRET", "a-secret-of-more-than-32-characters")
	large := func(secret string) string {
		token := signed(t, `{"iss":"K","sub":"ada","exp":9999999999,"x":"`+strings.Repeat("x", auth.DefaultMaxTokenBytes*3/4)+`"}`, secret)
		if n := len(token); n <= auth.DefaultMaxTokenBytes || n > auth.DefaultMaxTokenBytes+1024 {
			t.Fatalf("the test's token has %d bytes", n)
		}
		return token
	}
	for name, test := range map[string]struct{ token, want string }{
		"too large, forged": {large("another"), "signature: not checked: token too large"},
		"too large":         {large("a-secret-of-more-than-32-characters"), "signature: not checked: token too large"},
		"forged":            {signed(t, `{"iss":"K","sub":"ada","exp":9999999999}`, "another"), "signature: " + notHolding},
		"as it should be":   {signed(t, `{"iss":"K","sub":"ada","exp":9999999999}`, "a-secret-of-more-than-32-characters"), "signature: holds"},
		"expired":           {signed(t, `{"iss":"K","sub":"ada","exp":1}`, "a-secret-of-more-than-32-characters"), "signature: holds"},
		"no exp":            {signed(t, `{"iss":"K","sub":"ada"}`, "a-secret-of-more-than-32-characters"), "signature: holds"},
		"no identity":       {signed(t, `{"iss":"K","exp":9999999999,"video":{"roomJoin":true,"room":"lab"}}`, "a-secret-of-more-than-32-characters"), "signature: holds"},
	} {
		if _, out, stderr := usher(t, test.token, "token", "explain", "-"); !strings.Contains(out, test.want) {
			t.Errorf("%s: got %.400s%s, want %q", name, out, stderr, test.want)
		}
	}
}
