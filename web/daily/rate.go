package daily

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A pace is how often something may be called, as Daily documents it.
type pace struct {
	calls int
	in    time.Duration
}

var (
	usual   = pace{100, 5 * time.Second}
	slow    = pace{50, 30 * time.Second} // deleting a room, and the recordings
	batches = pace{10, 30 * time.Second}
	media   = pace{5, 5 * time.Second} // starting a recording, a stream or a call
)

// paceOf returns the pace of a route.
func paceOf(method, pattern string) pace {
	switch {
	case pattern == "/v1/batch/rooms":
		return batches
	case method == http.MethodDelete && pattern == "/v1/rooms/{name}", strings.HasPrefix(pattern, "/v1/recordings"):
		return slow
	case strings.HasSuffix(pattern, "{…}") && strings.HasPrefix(pattern, "/v1/rooms/{name}/"):
		return media
	}
	return usual
}

// rates counts calls for each key and route. There are as many counters as good
// keys and routes, so nobody can make it grow from outside; those of keys that are
// gone go when there are maxRates.
type rates struct {
	mu sync.Mutex // guards the following
	of map[rateKey]*rate.Limiter
}

type rateKey struct {
	key             [sha256.Size]byte // not the key itself
	method, pattern string
}

// maxRates is more than some 30 keys have at a time.
const maxRates = 1024

// take counts a call, or says how long it would have to wait.
func (r *rates) take(key, method, pattern string, now time.Time) (wait time.Duration, ok bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	k := rateKey{sha256.Sum256([]byte(key)), method, pattern}
	p := paceOf(method, pattern)
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.of[k]
	if l == nil {
		if r.of == nil {
			r.of = make(map[rateKey]*rate.Limiter)
		}
		if len(r.of) >= maxRates {
			r.forgetLocked(now)
		}
		l = rate.NewLimiter(rate.Limit(float64(p.calls)/p.in.Seconds()), p.calls)
		r.of[k] = l
	}
	res := l.ReserveN(now, 1)
	if wait = res.DelayFrom(now); wait > 0 {
		res.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// forgetLocked forgets what counts nothing: a new counter is the same. r.mu must be
// held.
func (r *rates) forgetLocked(now time.Time) {
	for k, l := range r.of {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(r.of, k)
		}
	}
}
