package liveblocks_test

import (
	"testing"

	"usher/auth"
	"usher/auth/liveblocks"
)

// Base is on the path of every join, under the room's mutex.
func BenchmarkBase(b *testing.B) {
	list := &auth.AccessList{
		Default: []string{"*:read"},
		Groups:  map[string][]string{"engineering": {"*:write"}, "design": {"*:read", "comments:write"}},
		Users:   map[string][]string{"ada": {"*:write", "feeds:none"}},
	}
	for _, test := range []struct {
		name  string
		token minter
	}{
		{"id", liveblocks.IDToken{User: "ada", Groups: []string{"engineering", "design"}}},
		{"access", liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": {"*:read"}, "lab*": {"*:write"}}}},
	} {
		g := grantOf(b, test.token)
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(format.Base(g, "lab", auth.RoomRules{List: list})) == 0 {
					b.Fatal("nobody decides")
				}
			}
		})
	}
}

func BenchmarkDoor(b *testing.B) {
	d := liveblocks.NewDoor([]liveblocks.DoorEntry{entry("acme", "sk_acme", "pk_acme")})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.Secret("sk_acme"); !ok {
			b.Fatal("the key opens nothing")
		}
	}
}
