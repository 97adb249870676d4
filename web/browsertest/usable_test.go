package browsertest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"usher/web/browsertest"
)

func page(html string) string {
	return "data:text/html," + url.PathEscape("<!doctype html><html lang=en><body style='margin:0;background:#fff;color:#000'>"+html)
}

// What makes a page hard to use is found, and nothing is made of what does not.
func TestUsable(t *testing.T) {
	const good = `<header>h</header><main><h1>one</h1><h2>two</h2><p>a <a href="#x">link in a sentence</a></p>
		<button style="width:44px;height:44px">go</button>
		<label style="display:inline-block;height:30px;width:90px"><input type="checkbox">tick</label>
		<p style="color:#767676">just enough</p><p hidden style="color:#eee">not seen</p></main>`
	for name, test := range map[string]struct {
		html string
		list func(p *browsertest.Tab) []string
		want string
	}{
		"small":        {good + `<button style="height:20px;padding:0;width:90px">low</button>`, func(p *browsertest.Tab) []string { return p.TooSmall(24) }, "90.0 × 20.0"},
		"wide":         {good + `<div style="width:500px">wide</div>`, func(p *browsertest.Tab) []string { return p.CutOff("table") }, "scrolls sideways"},
		"cut":          {good + `<div style="width:50px;overflow:hidden;white-space:nowrap">far too long for this</div>`, func(p *browsertest.Tab) []string { return p.CutOff("table") }, "cut off"},
		"faint":        {good + `<p style="color:#777">almost enough</p>`, func(p *browsertest.Tab) []string { return p.Faint("table") }, "4.48"},
		"translucent":  {good + `<div style="opacity:.5"><p>half there</p></div>`, func(p *browsertest.Tab) []string { return p.Faint("table") }, "half there"},
		"left out":     {good + `<h4>four</h4>`, (*browsertest.Tab).Outline, "a level is left out"},
		"nameless":     {good + `<button></button>`, (*browsertest.Tab).Outline, "no name"},
		"two headings": {good + `<h1>again</h1>`, (*browsertest.Tab).Outline, "2 of h1"},
		"twice":        {good + `<p id="a">a</p><p id="a">a</p>`, (*browsertest.Tab).Outline, "twice: #a"},
	} {
		p := browsertest.Fresh(t, page(good), nil)
		p.Window(360, 740)
		if list := test.list(p); len(list) > 0 {
			t.Errorf("%s: of a good page: %q", name, list)
		}
		p = browsertest.Fresh(t, page(test.html), nil)
		p.Window(360, 740)
		if list := test.list(p); len(list) == 0 || !strings.Contains(strings.Join(list, "\n"), test.want) {
			t.Errorf("%s: got %q, want %q", name, list, test.want)
		}
	}
}

// A phone's pointer is coarse, a window's is not; what the page prefers is what the
// test says.
func TestScreens(t *testing.T) {
	p := browsertest.Fresh(t, page("x"), nil)
	is := func(query, want string) {
		t.Helper()
		if got := p.Eval("String(matchMedia(" + browsertest.Quote(query) + ").matches)"); got != want {
			t.Errorf("%s is %s, want %s", query, got, want)
		}
	}
	p.Window(1280, 800)
	is("(pointer: coarse)", "false")
	p.Phone(360, 740)
	is("(pointer: coarse)", "true")
	p.Prefer("prefers-color-scheme", "dark", "prefers-reduced-motion", "reduce")
	is("(prefers-color-scheme: dark)", "true")
	is("(prefers-reduced-motion: reduce)", "true")
}

// A door that is shut lets nobody in, and one that cuts lets them come again.
func TestDoor(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	door := browsertest.NewDoor(t)
	get := func() int {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(door.URL())
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := get(); got != 0 {
		t.Errorf("before it leads anywhere it answers %d", got)
	}
	door.Lead(server.Listener.Addr().String())
	if got := get(); got != http.StatusTeapot {
		t.Errorf("got %d", got)
	}
	door.Cut()
	if got := get(); got != http.StatusTeapot {
		t.Errorf("after a cut: got %d", got)
	}
	door.Shut()
	if got := get(); got != 0 {
		t.Errorf("shut, it answers %d", got)
	}
}
