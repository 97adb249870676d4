package auth_test

import (
	"testing"

	"usher/auth"
)

// Every right has a name of its own, and is found by it again.
func TestRightNames(t *testing.T) {
	seen := map[string]bool{}
	auth.AllRights.Each(func(r auth.Rights) {
		names := r.Names()
		if len(names) != 1 || names[0] == "" || seen[names[0]] {
			t.Fatalf("right %b is called %q", r, names)
		}
		seen[names[0]] = true
		if got, ok := auth.ParseRights(names); !ok || got != r {
			t.Errorf("%q is read as %b, want %b", names, got, r)
		}
	})
	if names := auth.AllRights.Names(); len(names) != len(seen) {
		t.Errorf("there are %d names for %d rights", len(names), len(seen))
	}
	if _, ok := auth.ParseRights([]string{"sendCamera", "fly"}); ok {
		t.Error("a name that is none was read")
	}
	for right, name := range map[auth.Rights]string{auth.SendCustomAudio: "sendCustomAudio", auth.ReceiveDataTracks: "receiveDataTracks",
		auth.WriteStorage: "writeStorage", auth.Owner: "owner", auth.ManageAgents: "manageAgents", auth.Hidden: "hidden"} {
		if got := right.Names(); got[0] != name {
			t.Errorf("%s is called %s", name, got[0])
		}
	}
}
