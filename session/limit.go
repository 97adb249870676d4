package session

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds what the limiter remembers. When it is full, addresses
// not seen yet share one bucket.
const maxAddresses = 1 << 16

// addressLimiter limits how often one address may connect. IPv6 addresses
// count by their /64, which one subscriber has to itself.
type addressLimiter struct {
	limit rate.Limit // static; 0 means none
	burst int        // static

	mu      sync.Mutex // guards the following fields
	buckets map[netip.Prefix]*bucket
	others  *rate.Limiter
}

type bucket struct {
	limiter *rate.Limiter
	used    time.Time
}

func newAddressLimiter(perSecond float64, burst int) *addressLimiter {
	if burst <= 0 {
		burst = max(int(4*perSecond), 1)
	}
	return &addressLimiter{limit: rate.Limit(perSecond), burst: burst,
		buckets: make(map[netip.Prefix]*bucket), others: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// allow reports whether the address may connect now.
func (l *addressLimiter) allow(remote string) bool {
	if l.limit <= 0 {
		return true
	}
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true // no network address: a test, or a socket of this machine
	}
	addr, bits := ap.Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return true
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[prefix]
	if b == nil {
		if len(l.buckets) >= maxAddresses {
			return l.others.AllowN(now, 1)
		}
		b = &bucket{limiter: rate.NewLimiter(l.limit, l.burst)}
		l.buckets[prefix] = b
	}
	b.used = now
	return b.limiter.AllowN(now, 1)
}

// sweep forgets addresses whose bucket is full again.
func (l *addressLimiter) sweep(now time.Time) {
	if l.limit <= 0 {
		return
	}
	full := time.Duration(float64(l.burst)/float64(l.limit)*float64(time.Second)) + time.Second
	l.mu.Lock()
	defer l.mu.Unlock()
	for prefix, b := range l.buckets {
		if now.Sub(b.used) > full {
			delete(l.buckets, prefix)
		}
	}
}
