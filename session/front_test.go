package session_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// behind is a listener that Front takes for one of an unknown kind.
type behind struct{ net.Listener }

const upgradeLines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// site is a handler with more than sessions, and what real ones put around it.
func site(s *sessiontest.Server, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /session", h)
	mux.HandleFunc("/else", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q", r.Method, r.Proto, b)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Remote-Network", strings.Split(r.RemoteAddr, ":")[0])
		mux.ServeHTTP(w, r)
	})
}

// cutShort stands for a body that has not come whole: after a request that it does
// not understand net/http may hang up with bytes unread, which resets the connection.
const cutShort = "cut short"

// exchange sends the pieces of a request, each in a segment of its own, and
// returns the response and the connection behind it.
func exchange(t *testing.T, l net.Listener, pieces ...string) (*http.Response, string, *bufio.Reader, net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatalf("%.60q: %v", pieces[0], err)
	}
	body := ""
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, err := io.ReadAll(resp.Body)
		if body = string(b); err != nil {
			body = cutShort
		}
	}
	return resp, body, br, c
}

// Whatever a connection begins with, the answer is that of net/http.
func TestFrontAnswersLikeNetHTTP(t *testing.T) {
	fronted := sessiontest.Serve(t, sessiontest.Options{Handler: site})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := sessiontest.Serve(t, sessiontest.Options{Handler: site, Listener: behind{l}})
	get := func(path, lines string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\n" + lines + "\r\n"
	}
	for name, request := range map[string]string{
		"upgrade":                 get("/session", upgradeLines),
		"query":                   get("/session?x=%20y", upgradeLines),
		"no key":                  get("/session", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
		"bad key":                 get("/session", strings.Replace(upgradeLines, "dGhlIHNhbXBsZSBub25jZQ==", "eA==", 1)),
		"two keys":                get("/session", upgradeLines+"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
		"bad version":             get("/session", strings.Replace(upgradeLines, "13", "12", 1)),
		"no connection":           get("/session", strings.Replace(upgradeLines, "Connection: Upgrade\r\n", "", 1)),
		"no upgrade":              get("/session", ""),
		"another upgrade":         get("/session", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
		"another path":            get("/else", upgradeLines),
		"unknown path":            get("/nowhere", upgradeLines),
		"doubled slash":           get("//session", upgradeLines),
		"dots":                    get("/x/../session", upgradeLines),
		"escaped":                 get("/%73ession", upgradeLines),
		"slash behind":            get("/session/", upgradeLines),
		"whole URL":               get("http://example.com/session", upgradeLines),
		"bad escape":              get("/session%zz", upgradeLines),
		"post":                    "POST" + get("/session", upgradeLines)[3:],
		"post with a body":        "POST /else HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nbody",
		"upgrade with a length":   get("/session", upgradeLines+"Content-Length: 0\r\n"),
		"bad length":              get("/session", upgradeLines+"Content-Length: x\r\n"),
		"transfer encoding":       get("/session", upgradeLines+"Transfer-Encoding: identity\r\n"),
		"expect":                  get("/session", upgradeLines+"Expect: much\r\n"),
		"HTTP/1.0":                "GET /session HTTP/1.0\r\nHost: example.com\r\n" + upgradeLines + "\r\n",
		"HTTP/1.2":                "GET /session HTTP/1.2\r\nHost: example.com\r\n" + upgradeLines + "\r\n",
		"HTTP/3.0":                "GET /session HTTP/3.0\r\nHost: example.com\r\n" + upgradeLines + "\r\n",
		"no version":              "GET /session\r\nHost: example.com\r\n" + upgradeLines + "\r\n",
		"no host":                 "GET /session HTTP/1.1\r\n" + upgradeLines + "\r\n",
		"empty host":              "GET /session HTTP/1.1\r\nHost:\r\n" + upgradeLines + "\r\n",
		"bad host":                "GET /session HTTP/1.1\r\nHost: a b\r\n" + upgradeLines + "\r\n",
		"two hosts":               get("/session", upgradeLines+"HOST: other.example\r\n"),
		"the same host twice":     get("/session", upgradeLines+"Host: example.com\r\n"),
		"IPv6 host":               strings.Replace(get("/session", upgradeLines), "example.com", "[::1]:80", 1),
		"NUL in a value":          get("/session", upgradeLines+"X: a\x00b\r\n"),
		"control character":       get("/session", upgradeLines+"X: a\x01b\r\n"),
		"DEL in a value":          get("/session", upgradeLines+"X: a\x7fb\r\n"),
		"CR in a value":           get("/session", upgradeLines+"X: a\rb\r\n"),
		"letters beyond ASCII":    get("/session", upgradeLines+"X: \xc3\xa4\r\n"),
		"space before colon":      get("/session", upgradeLines+"X : a\r\n"),
		"folded":                  get("/session", upgradeLines+"X: a\r\n b\r\n"),
		"no colon":                get("/session", upgradeLines+"X\r\n"),
		"empty name":              get("/session", upgradeLines+": a\r\n"),
		"bare line feeds":         strings.ReplaceAll(get("/session", upgradeLines), "\r\n", "\n"),
		"some bare line feeds":    get("/session", strings.Replace(upgradeLines, "\r\n", "\n", 2)),
		"5 KiB of header":         get("/session", upgradeLines+"X: "+strings.Repeat("x", 5<<10)+"\r\n"),
		"20 KiB of header":        get("/session", upgradeLines+"X: "+strings.Repeat("x", 20<<10)+"\r\n"),
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n",
		"HTTP/2":                  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"rubbish":                 "rubbish\r\n\r\n",
		"leading empty line":      "\r\n" + get("/session", upgradeLines),
		"a subprotocol of no use": get("/session", upgradeLines+"Sec-WebSocket-Protocol: other\r\n"),
		"subprotocol":             get("/session", upgradeLines+"Sec-WebSocket-Protocol: "+wire.Subprotocol+", bearer.x\r\n"),
		"another origin":          get("/session", upgradeLines+"Origin: http://evil.example\r\n"),
		"own origin":              get("/session", upgradeLines+"Origin: http://example.com\r\n"),
		"header of just a buffer": get("/session", upgradeLines+"X: "+strings.Repeat("x", 4096-len(get("/session", upgradeLines))-5)+"\r\n"),
		"a buffer and another":    get("/session", upgradeLines+"X: "+strings.Repeat("x", 4096-len(get("/session", upgradeLines))-5)+"\r\n") + get("/else", ""),
	} {
		t.Run(name, func(t *testing.T) {
			want, wantBody, _, _ := exchange(t, plain.HTTP.Listener, request)
			for what, pieces := range map[string][]string{
				"whole": {request}, "first letter alone": {request[:1], request[1:]}, "last letter alone": {request[:len(request)-1], request[len(request)-1:]},
			} {
				got, body, _, _ := exchange(t, fronted.HTTP.Listener, pieces...)
				if got.StatusCode != want.StatusCode || body != wantBody && body != cutShort && wantBody != cutShort {
					t.Errorf("%s: got %s, %q; net/http says %s, %q", what, got.Status, body, want.Status, wantBody)
				}
				names := map[string]bool{}
				for _, h := range []http.Header{got.Header, want.Header} {
					for name := range h {
						names[name] = true
					}
				}
				delete(names, "Connection") // it is closed after a refusal
				delete(names, "Date")
				for name := range names {
					if !slices.Equal(got.Header.Values(name), want.Header.Values(name)) {
						t.Errorf("%s: %s is %q, with net/http %q", what, name, got.Header.Values(name), want.Header.Values(name))
					}
				}
			}
		})
	}
}

// What comes behind a request in the same segment is not lost.
func TestFrontKeepsWhatFollows(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Handler: site})
	request := "GET /session HTTP/1.1\r\nHost: example.com\r\n" + upgradeLines + "\r\n"
	join := string(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "ada")+`"}`)))
	for _, behind := range []string{join, join + strings.Repeat(string(sessiontest.MaskedFrame(0x89, nil)), 1000), "\x81\xfe"} {
		_, _, br, c := exchange(t, s.HTTP.Listener, request+behind)
		if behind == "\x81\xfe" {
			_, _ = io.WriteString(c, join[2:])
		}
		first := make([]byte, 4)
		if _, err := io.ReadFull(br, first); err != nil || first[0] != 0x81 {
			t.Errorf("%.20q behind the request: got % x, %v, want the answer to the join", behind, first, err)
		}
	}
	// Ordinary requests share a connection, as ever.
	c, err := net.Dial("tcp", s.HTTP.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other := "GET /else HTTP/1.1\r\nHost: example.com\r\n\r\n"
	_, _ = io.WriteString(c, other+other)
	br := bufio.NewReader(c)
	for i := range 3 {
		if i == 2 {
			_, _ = io.WriteString(c, other)
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != `GET HTTP/1.1 ""` {
			t.Errorf("request %d: got %q, %v", i, b, err)
		}
	}
}

// The handler knows where a request comes from, since limits go by that.
func TestFrontKnowsTheAddress(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	for _, network := range []string{"tcp4", "tcp6", "tcp"} {
		l, err := net.Listen(network, map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": ":0"}[network])
		if err != nil {
			t.Logf("no %s here: %v", network, err)
			continue
		}
		s := sessiontest.Serve(t, sessiontest.Options{Listener: l, Handler: func(_ *sessiontest.Server, h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen[r.Header.Get("X")] = r.RemoteAddr
				mu.Unlock()
				h.ServeHTTP(w, r)
			})
		}})
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, host := range map[string][]string{"tcp4": {"127.0.0.1"}, "tcp6": {"::1"}, "tcp": {"127.0.0.1", "::1"}}[network] {
			c, err := net.Dial("tcp", net.JoinHostPort(host, port))
			if err != nil {
				t.Fatal(err)
			}
			name := network + host
			s.RawOver(c, "X: "+name)
			mu.Lock()
			got := seen[name]
			mu.Unlock()
			if want := c.LocalAddr().String(); got != want {
				t.Errorf("%s: the handler was told %q, want %q", name, got, want)
			}
		}
	}
}

// A connection that says nothing is not kept when the server ends, nor what has
// not got its answer; and closing the listener ends what waits for it.
func TestFrontCloses(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Handler: site})
	var silent []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", s.HTTP.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	_, _, br, _ := exchange(t, s.HTTP.Listener, "GET /session HTTP/1.1\r\nHost: x\r\n"+strings.Replace(upgradeLines, "13", "12", 1)+"\r\n")
	s.Sessions.Close()
	for _, c := range silent {
		_ = c.SetReadDeadline(time.Now().Add(8 * time.Second)) // less than a request may take
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("a silent connection ended with %v", err)
		}
		_ = c.Close()
	}
	_, _ = io.Copy(io.Discard, br)
	_ = s.HTTP.Listener.Close()
	if c, err := s.HTTP.Listener.Accept(); err == nil {
		t.Errorf("accepted %v after the listener was closed", c.RemoteAddr())
	}
}

// A closed server upgrades nobody: nobody would wait for the session's end.
func TestUpgradeAfterClose(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.Sessions.Close()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/session", nil)
	for line := range strings.SplitSeq(strings.TrimSpace(upgradeLines), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	s.Sessions.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a closed server answered %d, %v", w.Code, w.Header())
	}
}

// Out of descriptors, the front waits until there are some, and goes on.
func TestFrontWithoutDescriptors(t *testing.T) {
	if testing.Short() {
		return // it uses all descriptors
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 100)
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.Log = told(said) }})
	s.JoinRaw(s.Token("lobby", "ada")) // what there is once is there
	c, err := net.Dial("tcp", s.HTTP.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.RawOver(c)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, e := range open {
		highest = max(highest, atoi(t, e.Name()))
	}
	// The client's socket gets the last descriptor: there is none to accept with.
	for n := range highest + 1 { // the gaps
		if _, err := os.Stat(fmt.Sprint("/proc/self/fd/", n)); err != nil {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
	}
	now := was
	now.Cur = uint64(highest + 2)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	late, err := net.Dial("tcp", s.HTTP.Listener.Addr().String())
	if err == nil {
		select {
		case text := <-said:
			if !strings.Contains(text, "cannot accept") {
				t.Errorf("the server logged %s", text)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server has not missed a descriptor")
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = late.SetDeadline(time.Now().Add(30 * time.Second))
	s.RawOver(late)
}
