package daily_test

import (
	"testing"

	"usher/auth"
	"usher/auth/daily"
)

// Base is on the path of every join, under the room's mutex.
func BenchmarkBase(b *testing.B) {
	h := newHouse(b)
	g := h.grant(b, `,"r":"lab","ud":"ada","p":{"cs":"v,a"}`)
	rules := auth.RoomRules{Daily: &auth.Say{Layer: "room", Deny: auth.SendScreenShare}}
	b.ReportAllocs()
	for b.Loop() {
		if len(g.Format.Base(g, "lab", rules)) == 0 {
			b.Fatal("nobody decides")
		}
	}
}

func BenchmarkByAPIKey(b *testing.B) {
	d := daily.NewDomains([]daily.Domain{acme()})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.ByAPIKey(otherAPIKey); !ok {
			b.Fatal("the key opens nothing")
		}
	}
}

func BenchmarkAppendPermissions(b *testing.B) {
	p := auth.Permission{Rights: auth.SendCamera | auth.ReceiveTracks | auth.ModerateParticipants}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = daily.AppendPermissions(out[:0], p)
	}
}
