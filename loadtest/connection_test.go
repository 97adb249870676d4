package loadtest

import (
	"fmt"
	"net"
	"net/http"
	"testing"
)

// Two people's failures of the same sort are one kind of error, whatever ports
// they had.
func TestKindOfErrorHasNoAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()

	_, dialled := net.Dial("tcp", addr)
	_, asked := http.Get("http://" + addr)
	for _, err := range []error{dialled, asked, fmt.Errorf("asking: %w", asked)} {
		if got, want := withoutAddress(err), "dial: connect: connection refused"; got != want {
			t.Errorf("%q became %q, want %q", err, got, want)
		}
	}
	if got := withoutAddress(fmt.Errorf("status 500")); got != "status 500" {
		t.Errorf("an error without an address became %q", got)
	}
}
