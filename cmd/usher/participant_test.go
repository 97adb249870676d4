package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"usher/auth/livekit"
)

// api runs a participant command against the server and returns its exit code
// and what it printed.
func (s *served) api(args ...string) (code int, out, err string) {
	s.t.Helper()
	addr := s.addr
	if s.admin != "" {
		addr = s.admin
	}
	command, more := args[0], args[1:] // what is given comes last and counts
	return s.calls(addr, append([]string{"participant", command, "--room", "lobby"}, more...)...)
}

// asks runs a command that calls the API.
func (s *served) asks(args ...string) (code int, out, err string) {
	s.t.Helper()
	return s.calls(s.addr, args...)
}

func (s *served) calls(addr string, args ...string) (code int, out, err string) {
	s.t.Helper()
	keys := []string{"--url", "http://" + addr, "--api-key", devKey, "--api-secret", devSecret}
	n := 1
	for n < len(args) && !strings.HasPrefix(args[n], "-") {
		n++
	}
	c := start(s.t, slices.Concat(args[:n], keys, args[n:])...)
	code = c.wait()
	return code, c.out.text(), c.err.text()
}

// expecter returns what checks the exit code of a command and what it printed,
// whatever the space between words.
func expecter(t *testing.T) func(code int, what ...string) func(int, string, string) {
	return func(code int, what ...string) func(int, string, string) {
		return func(got int, out, err string) {
			t.Helper()
			if got != code {
				t.Errorf("got exit code %d, want %d:\n%s%s", got, code, out, err)
			}
			for _, w := range what {
				if !strings.Contains(strings.Join(strings.Fields(out+err), " "), w) {
					t.Errorf("it does not say %q:\n%s%s", w, out, err)
				}
			}
		}
	}
}

func TestParticipant(t *testing.T) {
	s := serve(t, "--admin-addr", "127.0.0.1:0")
	expect := expecter(t)
	expect(0, `nobody is in room "lobby"`)(s.api("list"))
	expect(1, `usher: "ada" is not in room "lobby"`)(s.api("get", "--identity", "ada"))

	ada := join(t, s.addr, mint(t, "ada", nil), "--json")
	ada.says(`"type":"joined"`)
	bob := join(t, s.addr, mint(t, "bob", func(c *livekit.Claims) { c.Name, c.Attributes = "Bob", map[string]string{"k": "v"} }))
	bob.says("you are bob")
	eve := join(t, s.addr, mint(t, "eve", func(c *livekit.Claims) { c.Video.Hidden = true }))
	eve.says("you are eve")

	expect(0, "IDENTITY NAME STATE KIND MAY TRACKS JOINED",
		"ada active standard publish, data, subscribe 0",
		"bob Bob active standard publish, data, subscribe 0",
		"eve active standard publish, data, subscribe, (hidden) 0",
	)(s.api("list"))
	expect(0, "identity bob", "name Bob", "may publish, data, subscribe", "attributes k=v")(s.api("get", "--identity", "bob"))

	// Only what is given changes.
	expect(0, "may data, subscribe")(s.api("update", "--identity", "bob", "--can-publish=false"))
	bob.says("* your permissions changed: may not publish tracks any more")
	ada.says(`"type":"participantUpdated"`, `"identity":"bob"`, `"canPublish":false`, `"canPublishData":true`)
	expect(0, "may subscribe")(s.api("update", "--identity", "bob", "--no-can-publish-data", "--name", "Robert", "--attribute", "k=", "--attribute", "mood=a;b=c", "--metadata", "m"))
	bob.types("am I heard?")
	bob.says("! refused: your message: not allowed, canPublishData is missing; it was taken away during the session")
	expect(0, "name Robert", "metadata m", "attributes mood=a;b=c", "may publish microphone, subscribe")(
		s.api("update", "--identity", "bob", "--can-publish", "--can-publish-source", "microphone"))
	bob.says("* your permissions changed: may now publish microphone")
	expect(0, "may publish, subscribe")(s.api("update", "--identity", "bob", "--can-publish-source", "all"))
	if _, out, _ := s.api("update", "--identity", "bob", "--name", "", "--metadata", ""); strings.Contains(out, "name") || strings.Contains(out, "metadata") {
		t.Errorf("name and metadata were not cleared:\n%s", out)
	}
	bob.says("* your name is now gone")
	bob.says("* your metadata: none")

	_, out, _ := s.api("get", "--identity", "bob", "--json")
	var info participantInfo
	if err := json.Unmarshal([]byte(out), &info); err != nil || info.Identity != "bob" || strings.Count(out, "\n") != 1 {
		t.Errorf("--json prints %q, error %v", out, err)
	}

	expect(0, "removed bob from room lobby")(s.api("remove", "--identity", "bob"))
	bob.says("* closed: an administrator removed you (4508 removed")
	ada.says(`"type":"participantLeft"`, `"identity":"bob"`, `"reason":"PARTICIPANT_REMOVED"`)
	expect(1, `usher: "bob" is not in room "lobby"`)(s.api("remove", "--identity", "bob"))

	expect(1, "usher: the server does not accept the key "+devKey, "usher: hint: check --api-key and --api-secret")(
		s.api("list", "--api-secret", "wrong"))
}

func TestParticipantRefusals(t *testing.T) {
	tests := map[string]struct {
		status     int
		body       string
		want, hint string
	}{
		"no API":     {404, `{"code":"not_found","message":"there is nothing at this address"}`, "has no such API (404 Not Found)", "with admin_addr set, the server APIs are only there"},
		"limit":      {400, `{"code":"invalid_argument","msg":"name exceeds the limit"}`, "the server refused: name exceeds the limit (invalid_argument)", ""},
		"plain text": {401, "invalid API key\n", "the server does not accept the key k: invalid API key", "check --api-key and --api-secret, and that the clocks agree"},
		"proxy":      {502, "<html>\n<body>", "the server refused: <html> (502 Bad Gateway)", ""},
		"no JSON":    {200, "<html>", "the server's answer is not understood", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer srv.Close()
			c := start(t, "participant", "list", "--url", srv.URL, "--room", "r", "--api-key", "k", "--api-secret", "s")
			if code := c.wait(); code != 1 {
				t.Errorf("got exit code %d, want 1", code)
			}
			c.logs("usher: ", test.want)
			if test.hint != "" {
				c.logs("usher: hint: " + test.hint)
			}
		})
	}
}
