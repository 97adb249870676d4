package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A run is one scenario against one server.
type run struct {
	ctx       context.Context // of the run: ends early when it does
	cfg       Config
	scenario  scenario
	target    Target
	base      *url.URL // of the server API, http or https
	host      string
	path      string
	client    *http.Client // of server APIs and metrics
	cost      *costMeter
	transport transport
	people    []*person
	groups    []*group
	prefix    string        // of identities, and of room names
	over      chan struct{} // closed when the run is
	tending   sync.WaitGroup

	counts struct {
		joins, recovered          atomic.Int64
		published, delivered      atomic.Int64
		doubled, misordered, late atomic.Int64
		misdirected, foreign      atomic.Int64
		gaps, strangers           atomic.Int64
		missed                    atomic.Int64 // before one that came
		accepted, refused         atomic.Int64 // messages that were answered
		open                      atomic.Int64 // people who are in
	}
	more map[string]int64 // counts of the scenario; no lock: only its goroutine writes
	unit atomic.Int64     // of the scenario's main unit, for rates
	lag  *meter
	main *meter
	also []*meter

	// Fixed before anybody comes.
	hooks     hooks
	answered  bool     // data messages ask for an answer
	joinsLate bool     // people come and go while others send
	unitApart bool     // something else than publishing is the unit of the scenario
	admins    sync.Map // tokens for the server API, by room

	mu       sync.Mutex // guards the following fields
	errors   map[string]int64
	waiters  map[*person]chan struct{} // holds a place there until it is in, or failed
	series   []Sample                  // never nil
	findings []string
	expected int64 // deliveries; -1: not known

	phase measured
}

// hooks are what a scenario wants to hear. They run with the person locked and
// must not lock another; each may be nil.
type hooks struct {
	data     func(p, sender *person, s stamp)
	frame    func(p *person, handle uint32, b []byte)
	text     func(p *person, kind string, b []byte)
	refused  func(p *person, code string, b []byte) (expected bool)
	readDone func(p *person)
	departed func(p *person, c *connection) (expected bool)
	arrived  func(p *person, recovered bool)
}

// ErrInterrupted says that a run ended before its time. The result that comes
// with it is what was measured until then.
var ErrInterrupted = errors.New("loadtest: interrupted")

// Run runs a scenario against a server. When ctx ends, so does the run, with
// what was measured so far and [ErrInterrupted].
func Run(ctx context.Context, cfg Config, target Target) (Result, error) {
	cfg, s, err := cfg.normal()
	if err != nil {
		return Result{}, err
	}
	if s.api && !target.API {
		return Result{}, fmt.Errorf("%s needs a server with usher's API, and %s has none", cfg.Scenario, target.Name)
	}
	r := &run{ctx: ctx, cfg: cfg, scenario: s, target: target,
		more: map[string]int64{}, errors: map[string]int64{}, waiters: map[*person]chan struct{}{},
		over: make(chan struct{}), lag: newMeter("lag"), main: newMeter(s.main), expected: -1, series: []Sample{}}
	r.prefix = "lt" + strconv.FormatUint(uint64(rand.Uint32()), 36) + "-"
	if err := r.reach(); err != nil {
		return Result{}, err
	}
	defer r.client.CloseIdleConnections()
	before, err := r.cost.before()
	if err != nil && r.cost.metrics != "" { // they may be at another address, or not be served
		if r.cost.metrics = ""; r.cost.pid == 0 {
			r.find("what the server costs is not known: %v", err)
		}
		before, err = r.cost.before()
	}
	if err != nil {
		r.transport.shut()
		return Result{}, err
	}
	r.phase.idle = before
	defer func() {
		close(r.over)
		r.tending.Wait()
		r.transport.shut()
	}()
	err = s.run(r)
	if r.phase.running() {
		r.end()
	}
	interrupted := ctx.Err() != nil
	if err != nil && !interrupted {
		return Result{}, err
	}
	r.dismiss()
	result := r.result()
	if interrupted {
		result.Findings = append(result.Findings, "the run was interrupted: the figures are those until then")
		return result, ErrInterrupted
	}
	return result, nil
}

// reach looks at the address and prepares to connect.
func (r *run) reach() error {
	u, err := url.Parse(r.target.URL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%s is not an address; write it like http://127.0.0.1:7880", r.target.URL)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return fmt.Errorf("%s is not an address; write it like http://127.0.0.1:7880", r.target.URL)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/session")
	r.base, r.host, r.path = u, u.Host, u.Path+"/session"
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", r.target.URL, err)
	}
	if addr.IP == nil {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	at := endpoint{addr: addr, sources: loopbackSources(addr.IP)}
	if u.Scheme == "https" {
		at.tls = r.target.TLS.Clone()
		if at.tls == nil {
			at.tls = &tls.Config{}
		}
		at.tls.ServerName, at.tls.NextProtos = u.Hostname(), []string{"http/1.1"}
	}
	// One connection first: what is wrong for all of them is told in its words.
	var conn net.Conn
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if at.tls != nil {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: at.tls}).DialContext(r.ctx, "tcp", addr.String())
	} else {
		conn, err = dialer.DialContext(r.ctx, "tcp", addr.String())
	}
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", r.target.URL, err)
	}
	_ = conn.Close()
	r.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, TLSClientConfig: r.target.TLS.Clone()}}
	r.cost = &costMeter{pid: r.target.PID, client: r.client}
	if r.target.API {
		if r.target.APIURL != "" {
			if r.base, err = url.Parse(r.target.APIURL); err != nil || r.base.Host == "" {
				return fmt.Errorf("%s is not an address; write it like http://127.0.0.1:7880", r.target.APIURL)
			}
		}
		r.cost.metrics = r.base.JoinPath("metrics").String()
	}
	if r.transport, err = newTransport(at, r.cfg.Threads); err != nil {
		return err
	}
	return nil
}

// fail counts an error.
func (r *run) fail(kind string) {
	r.mu.Lock()
	r.errors[kind]++
	r.mu.Unlock()
}

// find notes what a reader must know.
func (r *run) find(format string, args ...any) {
	r.mu.Lock()
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
	r.mu.Unlock()
}

func (r *run) progress(phase string, done, total float64, note string) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(Progress{phase, done, total, note})
	}
}

// sleep waits, unless the run ends, and tells of progress meanwhile.
func (r *run) sleep(phase string, d time.Duration) error {
	began := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	done := time.NewTimer(d)
	defer done.Stop()
	for {
		select {
		case <-done.C:
			r.progress(phase, d.Seconds(), d.Seconds(), "")
			return nil
		case <-tick.C:
			r.progress(phase, time.Since(began).Seconds(), d.Seconds(), "")
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// until waits for a condition, at most for the time of a drain.
func (r *run) until(phase string, limit time.Duration, done func() bool) bool {
	deadline := time.Now().Add(limit)
	pause := time.Millisecond
	for !done() {
		if time.Now().After(deadline) || r.ctx.Err() != nil {
			return done()
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
		r.progress(phase, 0, 0, "")
	}
	return true
}
