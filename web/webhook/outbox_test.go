package webhook_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/room/store"
	"usher/web/webhook"
)

// What the outbox tells of a target that fails, and takes again.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var code atomic.Int64
		code.Store(503)
		setup := newSetup("https://user:pass@app.example.com/hook?key=secret", store.NewMemory())
		setup.Transport = transport(func(*http.Request) (*http.Response, error) { return answer(int(code.Load()), "Retry-After", "60"), nil })
		s := setup.start(t)
		now := func() webhook.Status {
			t.Helper()
			synctest.Wait()
			targets, unwritten := s.Outbox(project)
			if len(targets) != 1 || unwritten != 0 {
				t.Fatalf("got %+v and %d unwritten", targets, unwritten)
			}
			return targets[0]
		}
		if st := now(); st.Pending != 0 || !st.Oldest.IsZero() || !st.Next.IsZero() || !st.Last.At.IsZero() || st.Outcomes["delivered"] != 0 || len(st.Outcomes) != 5 {
			t.Errorf("at first: %+v", st)
		}
		began := time.Now()
		h := newHouse(s)
		h.open("a")
		h.enter("a", "ada")
		st := now()
		if st.Pending != 2 || !st.Oldest.Equal(began) || st.Next.Before(began.Add(59*time.Second)) || st.Next.After(began.Add(61*time.Second)) {
			t.Errorf("while it fails: %+v", st)
		}
		if st.Last.Problem != "status 503" || st.Last.Outcome != "" || st.Last.Room != "a" || st.Last.Event != "room_started" {
			t.Errorf("the last round: %+v", st.Last)
		}
		if strings.ContainsAny(st.URL, "@?") || !strings.HasPrefix(st.URL, "https://app.example.com/hook") {
			t.Errorf("the URL is %s", st.URL)
		}
		if others, _ := s.Outbox("another"); others != nil {
			t.Errorf("another project sees %+v", others)
		}
		code.Store(200)
		time.Sleep(2 * time.Minute)
		if st := now(); st.Pending != 0 || !st.Oldest.IsZero() || !st.Next.IsZero() || st.Outcomes["delivered"] != 2 || st.Last.Outcome != "delivered" || st.Last.Problem != "" {
			t.Errorf("when it takes them: %+v", st)
		}
		stop(t, s)
	})
}
