package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

func TestServeDev(t *testing.T) {
	s := serve(t)
	s.says("usher serves for development on http://" + s.addr)
	tokens := map[string]string{}
	for _, who := range []string{"host", "speaker", "viewer"} {
		s.says("as " + who)
		line := strings.TrimSpace(s.says("http://" + s.addr + "/demo#token="))
		u, err := url.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if u.RawQuery != "" {
			t.Errorf("the token is where servers can see it: %s", line)
		}
		tokens[who] = strings.TrimPrefix(u.Fragment, "token=")
	}
	if line := s.says(" join --url ws://" + s.addr); !strings.HasSuffix(line, tokens["viewer"]) {
		t.Errorf("the line to join from a terminal lacks the viewer's token: %s", line)
	}
	for _, test := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ready"},
		{"/metrics", 200, "usher_build_info{"},
		{"/rtc", 501, "LiveKit"},
		{"/debug/pprof/", 404, "not_found"},
		{"/nothing/here", 404, "not_found"},
	} {
		if status, body := get(t, "http://"+s.addr+test.path); status != test.status || !strings.Contains(body, test.body) {
			t.Errorf("%s: got %d %.100q, want %d %q", test.path, status, body, test.status, test.body)
		}
	}
	host := join(t, s.addr, tokens["host"])
	host.says("you are host (Host) in room demo")
	host.says("moderate participants")
	viewer := join(t, s.addr, tokens["viewer"])
	viewer.says("you may send data, receive tracks, change your own name and metadata; not publish tracks")
	host.says("viewer (Viewer) joined")
}

func TestAdminAddr(t *testing.T) {
	s := serve(t, "--admin-addr", "127.0.0.1:0")
	for _, path := range []string{"/metrics", "/debug/pprof/cmdline"} {
		if status, _ := get(t, "http://"+s.addr+path); status != 404 {
			t.Errorf("%s at the clients' address: got %d, want 404", path, status)
		}
		if status, _ := get(t, "http://"+s.admin+path); status != 200 {
			t.Errorf("%s at the admin address: got %d, want 200", path, status)
		}
	}
	if status, _ := get(t, "http://"+s.admin+"/session"); status != 404 {
		t.Errorf("/session at the admin address: got %d, want 404", status)
	}
}

func TestAddressInUse(t *testing.T) {
	s := serve(t)
	second := start(t, "serve", "--dev", "--addr", s.addr)
	if code := second.wait(); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	second.logs("usher: cannot listen on " + s.addr + ": bind: address already in use")
	second.logs("usher: hint: --addr chooses another address")
	if out := second.out.text(); out != "" {
		t.Errorf("it printed %q before it failed", out)
	}
}

func TestTLS(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pool := certificate(t, cert, key)
	s := serve(t, "--tls-cert", cert, "--tls-key", key)
	s.says("usher serves for development on https://" + s.addr)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		DisableKeepAlives: true,
	}}
	res, err := client.Get("https://" + s.addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("got %d, want 200", res.StatusCode)
	}
}

// Who calls a server with the wrong scheme is told the right one.
func TestWrongScheme(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key)
	plain, secure := serve(t), serve(t, "--tls-cert", cert, "--tls-key", key)
	const (
		drop = "usher: hint: a server is there, and it speaks without TLS: begin the address with ws:// or http://"
		add  = "usher: hint: a server is there, and it speaks TLS: begin the address with wss:// or https://"
		sign = "usher: hint: the server's certificate is not trusted here; on Linux, SSL_CERT_FILE=cert.pem in the environment trusts the one in that file"
	)
	for _, test := range []struct{ url, hint string }{
		{"wss://" + plain.addr, drop}, {"https://" + plain.addr, drop},
		{"ws://" + secure.addr, add}, {"http://" + secure.addr, add},
		{"wss://" + secure.addr, sign}, {"https://" + secure.addr, sign},
	} {
		for _, args := range [][]string{
			{"join", "--url", test.url},
			{"participant", "list", "--url", test.url, "--room", "lobby", "--api-key", devKey, "--api-secret", devSecret},
		} {
			t.Run(args[0]+" "+test.url, func(t *testing.T) {
				c := start(t, args...)
				if code := c.wait(); code != 1 {
					t.Errorf("got exit code %d, want 1", code)
				}
				if got := c.err.last(); got != test.hint {
					t.Errorf("got  %s\nwant %s", got, test.hint)
				}
			})
		}
	}

	// A server that answers is running: that it might not be is no help.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	c := start(t, "join", "--url", other.URL)
	c.wait()
	if got, want := c.err.last(), `usher: ws://`+other.Listener.Addr().String()+`/session answers "404 Not Found", which is no WebSocket`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// certificate writes a certificate for the loopback address, and returns who
// trusts it.
func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for _, f := range []struct {
		name, kind string
		bytes      []byte
	}{{certFile, "CERTIFICATE", cert}, {keyFile, "PRIVATE KEY", private}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.bytes})
		if err := os.WriteFile(f.name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

// serveConfig starts a server with a configuration in a process of its own.
func serveConfig(t *testing.T, file string) (s *terminal, addr string, signal func(os.Signal)) {
	t.Helper()
	s, signal = startProcess(t, "serve", "--config", file, "--addr", "127.0.0.1:0", "--data", t.TempDir())
	return s, listenAddr(s.logs("msg=listening")), signal
}

// mintWith makes a join token with a key of a configuration.
func mintWith(t *testing.T, key, identity string) string {
	t.Helper()
	token, err := livekit.Mint(key, auth.Secret(secretOf(key)), livekit.Claims{
		Identity: identity,
		Video:    &livekit.VideoGrant{RoomJoin: true, Room: "lobby", CanUpdateOwnMetadata: yes()},
	}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func secretOf(key string) string { return key + "-has-a-secret-of-32-characters-or-more" }

// configWith is a configuration with keys, some revoked, and more.
func configWith(more string, revoked string, keys ...string) string {
	var list []string
	for _, k := range keys {
		list = append(list, fmt.Sprintf("%s: %s", k, secretOf(k)))
	}
	return fmt.Sprintf("projects:\n  - name: acme\n    livekit:\n      keys: { %s }\n      revoked_keys: [%s]\n%s",
		strings.Join(list, ", "), revoked, more)
}

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStopSendsClientsAway(t *testing.T) {
	// Long enough to be looked at in between; with one client, half of it passes.
	s, addr, signal := serveConfig(t, writeConfig(t, configWith("drain: 4s\n", "", "APIa")))
	ada := join(t, addr, mintWith(t, "APIa", "ada"), "--json")
	ada.says(`"type":"joined"`)
	signal(syscall.SIGTERM)
	ada.says(`"type":"reconnect"`, `"afterMs":`)
	if status, body := get(t, "http://"+addr+"/readyz"); status != 503 {
		t.Errorf("readyz of a stopping server: got %d %q, want 503", status, body)
	}
	late := join(t, addr, mintWith(t, "APIa", "late"), "--json")
	late.says(`{"type":"closed","code":4000,"reason":"server_shutdown`, `"reconnect":true}`)
	ada.says(`{"type":"closed","code":4000,"reason":"server_shutdown`, `"reconnect":true}`)
	if code := ada.wait(); code != 1 {
		t.Errorf("a client that was sent away: got exit code %d, want 1", code)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("got exit code %d after SIGTERM, want 0", code)
	}
	s.logs("msg=stopped")
}

func TestStopWithoutClients(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s, _, signal := serveConfig(t, writeConfig(t, configWith("drain: 1h\n", "", "APIa")))
		signal(sig)
		if code := s.wait(); code != 0 {
			t.Errorf("%v: got exit code %d, want 0", sig, code)
		}
		if s.out.text() != "" {
			t.Errorf("it printed %q", s.out.text())
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s, addr, signal := serveConfig(t, writeConfig(t, configWith("drain: 1h\n", "", "APIa")))
	ada := join(t, addr, mintWith(t, "APIa", "ada"), "--json")
	ada.says(`"type":"joined"`)
	signal(syscall.SIGTERM)
	ada.says(`"type":"reconnect"`)
	again, ended := time.NewTicker(oneWish), make(chan struct{}) // sooner it is the same wish
	defer again.Stop()
	defer close(ended)
	go func() {
		for {
			select {
			case <-again.C:
				signal(syscall.SIGTERM)
			case <-ended:
				return
			}
		}
	}()
	if code := s.wait(); code != 1 {
		t.Errorf("got exit code %d, want 1: that was no clean stop", code)
	}
}

// timeout(1) signals the process, and then its group: that is one wish.
func TestTwoSignalsAtOnceAreOneWish(t *testing.T) {
	s, addr, signal := serveConfig(t, writeConfig(t, configWith("drain: 1s\n", "", "APIa")))
	ada := join(t, addr, mintWith(t, "APIa", "ada"), "--json")
	ada.says(`"type":"joined"`)
	signal(syscall.SIGTERM)
	signal(syscall.SIGINT) // another one, as two of a kind can become one on the way
	ada.says(`"type":"reconnect"`, `"afterMs":`)
	ada.says(`{"type":"closed","code":4000,"reason":"server_shutdown`, `"reconnect":true}`)
	if code := s.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	s.logs("msg=stopped")
}

func TestReload(t *testing.T) {
	file := writeConfig(t, configWith("", "", "APIa", "APIb"))
	s, addr, hangup := serveConfig(t, file)
	reload := func() { t.Helper(); hangup(syscall.SIGHUP) }
	ada := join(t, addr, mintWith(t, "APIa", "ada"), "--json")
	ada.says(`"type":"joined"`)
	bob := join(t, addr, mintWith(t, "APIb", "bob"), "--json")
	bob.says(`"type":"refreshToken"`)

	// A mistake changes nothing.
	rewrite(t, file, configWith("drain: soon\n", "", "APIc"))
	reload()
	s.logs("level=ERROR", "line 6: drain", "the one before stays in force")
	join(t, addr, mintWith(t, "APIa", "eve"), "--json").says(`"type":"joined"`)
	rewrite(t, file, strings.ReplaceAll(configWith("", "", "APIa"), "APIa: "+secretOf("APIa"), secretOf("APIa")+": APIa"))
	reload()
	s.logs("level=ERROR", "livekit.keys[0]: the secret is too short", "the one before stays in force")

	// A key that is gone is retired: its tokens are refused, its sessions go
	// on, with tokens of a key that is there. A revoked one takes them along.
	rewrite(t, file, configWith("log: { level: debug }\ndrain: 1s\n", "APIa", "APIc"))
	reload()
	s.logs("level=WARN", "take effect with the next start only", "keys=[drain]")
	s.logs("configuration reloaded")
	ada.says(`{"type":"closed","code":4530,"reason":"key_revoked`, `"reconnect":false}`)
	bob.types(`{"type":"updateMetadata","id":1,"name":"Bob"}`)
	bob.says(`"type":"ok","id":1`)
	refreshed := bob.says(`"type":"refreshToken"`)
	if _, rest, _ := strings.Cut(refreshed, `"token":"`); !strings.Contains(payload(t, rest), `"iss":"APIc"`) {
		t.Errorf("the refreshed token is not signed by the key that is left: %s", payload(t, rest))
	}
	for key, want := range map[string]string{"APIa": `"code":4503`, "APIb": `"code":4500`, "APIc": `"type":"joined"`} {
		join(t, addr, mintWith(t, key, "late-"+key), "--json").says(want)
	}
	s.logs("level=DEBUG")

	if log := s.err.text(); strings.Contains(log, "eyJ") || strings.Contains(log, secretOf("")) {
		t.Errorf("the log holds a token or a secret:\n%s", log)
	}
}

func TestTokenLife(t *testing.T) {
	s := serve(t, "--config", writeConfig(t, "limits: { token_life: 90m }\n"))
	s.says("as viewer")
	line := strings.TrimSpace(s.says("#token="))
	_, short, _ := strings.Cut(line, "#token=")
	join(t, s.addr, short, "--json").says(`"type":"joined"`)
	join(t, s.addr, mint(t, "ada", nil), "--json").says(`"type":"joined"`)
	long, err := livekit.Mint(devKey, auth.Secret(devSecret), livekit.Claims{Identity: "eve",
		Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}, 2*time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	join(t, s.addr, long, "--json").says(`{"type":"closed","code":4500`)
}

// A secret that is in the documentation is no secret.
func TestPublicSecret(t *testing.T) {
	sample := sampleConfig(t)
	file := writeConfig(t, sample)
	s, _, hangup := serveConfig(t, file)
	const warning = "anybody can make tokens for this server"
	s.logs("level=WARN", warning, "openssl rand -hex 32", `keys="APIacme acme.liveblocks.secret_key acme.daily.api_keys[0]"`)
	hangup(syscall.SIGHUP)
	s.logs("level=WARN", warning)
	s.logs("configuration reloaded")
	rewrite(t, file, configWith("", "", "APIa"))
	hangup(syscall.SIGHUP)
	s.logs("configuration reloaded")
	if n := strings.Count(s.err.text(), warning); n != 2 {
		t.Errorf("warned %d times, want 2: %s", n, s.err.text())
	}

	dev := start(t, "serve", "--dev", "--config", writeConfig(t, sample), "--addr", "127.0.0.1:0", "--data", t.TempDir())
	dev.says("usher serves for development")
	dev.stop()
	dev.wait()
	if log := dev.err.text(); strings.Contains(log, warning) {
		t.Errorf("--dev, where that is known, warns: %s", log)
	}
}

func TestReloadWithoutFile(t *testing.T) {
	s, hangup := startProcess(t, "serve", "--dev", "--addr", "127.0.0.1:0")
	addr := listenAddr(s.logs("msg=listening"))
	hangup(syscall.SIGHUP)
	s.logs("there is no configuration file to read again")
	if status, _ := get(t, "http://"+addr+"/readyz"); status != 200 {
		t.Errorf("readyz: got %d, want 200", status)
	}
	s.stop()
	if code := s.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}
