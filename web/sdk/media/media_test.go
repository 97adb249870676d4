package media_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"usher/web/browsertest"
	"usher/web/sdk/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policy is the demo's. Media asks for nothing more: what comes from cameras
// goes to elements by srcObject, and worklets are scripts of the site.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// timeout bounds everything a test does with a page.
const timeout = 2 * time.Minute

// serve serves the modules and the tests' page, and returns its address. The page
// may use the scripts of the origins.
func serve(t testing.TB, origins ...string) string {
	t.Helper()
	policy := strings.Replace(policy, "script-src 'self'", strings.Join(append([]string{"script-src 'self'"}, origins...), " "), 1)
	mux := http.NewServeMux()
	mux.Handle("/sdk/media/", http.StripPrefix("/sdk/media/", http.FileServerFS(media.Files)))
	mux.Handle("/test/", http.StripPrefix("/test/", http.FileServerFS(os.DirFS("testdata"))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/page.html") })
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// browser starts Chromium with a camera and a microphone that are not there.
func browser(t testing.TB, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	return browsertest.Open(t, append([]chromedp.ExecAllocatorOption{chromedp.Flag("use-fake-device-for-media-stream", "fps=20")}, flags...)...)
}

var audible = chromedp.Flag("autoplay-policy", "no-user-gesture-required")

// A page is the tests' page in a tab of its own.
type page struct {
	t   testing.TB
	ctx context.Context

	// expected is part of what the browser may well complain of.
	expected string
}

// open opens the page. The browser complains of nothing until the test's end, and no
// frame is left open.
func open(t testing.TB, browser context.Context, address string) *page {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	ctx, release := context.WithTimeout(tab, timeout)
	p := &page{t: t, ctx: ctx}
	messages := chromedp.Console(tab)
	end, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with the tab
		defer close(done)
		for m, err := range messages {
			switch {
			case err != nil:
				return
			case m.Text == "the end":
				close(end)
			case strings.Contains(m.Text, "VideoFrame was garbage collected"): // by Chromium's generator; ours are counted
			case p.expected == "" || !strings.Contains(m.Text, p.expected):
				t.Errorf("the page complains: %s %s", m.Type, m.Text)
			}
		}
	}()
	t.Cleanup(func() {
		leaks := -1
		// What was on its way at the end is closed when it arrives.
		p.eval(`new Promise((done) => {
			const end = performance.now() + 30000;
			(function look() { leaks() === 0 || performance.now() > end ? done(leaks()) : setTimeout(look, 5) })();
		})`, &leaks)
		if leaks != 0 {
			t.Errorf("%d frames were not closed", leaks)
		}
		p.eval(`console.log("the end") ?? 1`, nil)
		select {
		case <-end:
		case <-ctx.Done():
		}
		release()
		cancel()
		<-done
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	return p
}

// eval evaluates an expression, awaits it and decodes its value.
func (p *page) eval(expression string, into any) {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[json.RawMessage](expression,
		func(e *runtime.EvaluateParams) { e.AwaitPromise = new(true) }))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(v, into); err != nil {
		p.t.Fatalf("%s: %v: %s", expression, err, v)
	}
}

// test runs one of testdata/page.js's tests.
func (p *page) test(into any, name string, args ...any) {
	p.t.Helper()
	list := []string{}
	for _, a := range args {
		b, _ := json.Marshal(a)
		list = append(list, string(b))
	}
	p.eval(fmt.Sprintf(`new Promise((done) => { (function ready() { globalThis.tests ? done() : setTimeout(ready, 5) })() }).then(() => tests.%s(%s))`,
		name, strings.Join(list, ",")), into)
}

// A frame is one as it was sent.
type frame struct {
	Key       bool
	Layer     int
	Timestamp int64
	Size      int
}

// stats are those of senders and receivers together.
type stats struct {
	Codec, ScalabilityMode                         string
	Width, Height                                  int
	FPS, Bitrate, Delay, Level, EncodeMs           float64
	TargetBitrate, TargetFramerate                 float64
	Captured, Encoded, Dropped, KeyFrames          int
	Received, Decoded, Rendered, Errors, Underruns int
	KeyFramesRequested                             int
	Layers                                         []int
}

type capabilities struct {
	Video, Audio struct{ Send, Receive []string }
	Reason       string
}

func TestPure(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NO NODE: the modules' unit tests need Node 20")
	}
	files, _ := fs.Glob(os.DirFS("testdata"), "*.test.mjs")
	for i, f := range files {
		files[i] = "testdata/" + f
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The count of leaks counts them.
func TestLeaksAreSeen(t *testing.T) {
	var got []int
	open(t, browser(t), serve(t)).test(&got, "leak")
	if !slices.Equal(got, []int{2, 0}) {
		t.Errorf("two frames not closed, then closed: got %v", got)
	}
}

func TestRefusals(t *testing.T) {
	b, address := browser(t), serve(t)
	said := map[string]string{}
	open(t, b, address).test(&said, "refusals")
	for name, want := range map[string]string{
		"NotAllowedError":      "MediaError denied: The camera and microphone may not be used",
		"NotFoundError":        "MediaError device_not_found: No camera and microphone was found",
		"NotReadableError":     "MediaError in_use: ",
		"OverconstrainedError": "MediaError constraints: ",
		"screen":               "MediaError cancelled: Nothing was chosen",
		"missing":              "MediaError unsupported: ",
		"insecure":             "MediaError insecure: The browser gives the camera and microphone only to pages from https://",
		"codec":                "MediaError unsupported: There is no video codec mp3",
		"unknown":              "MediaError unsupported: This video cannot be shown: this browser cannot decode x.",
		"nothing":              "MediaError unsupported: This video cannot be shown: ",
		"sound":                "MediaError unsupported: This sound cannot be played: its codec is mp3",
	} {
		if !strings.HasPrefix(said[name], want) {
			t.Errorf("%s: got %q, want %q", name, said[name], want)
		}
	}
	t.Run("unsupported", func(t *testing.T) {
		var got struct {
			Said         []string
			Capabilities capabilities
		}
		open(t, b, address+"/?without=VideoEncoder,VideoDecoder,AudioEncoder,AudioDecoder,VideoFrame,AudioData").test(&got, "unsupported")
		if len(got.Said) != 4 {
			t.Errorf("got %q", got.Said)
		}
		for _, s := range got.Said {
			if !strings.HasPrefix(s, "unsupported: This ") || !strings.Contains(s, "lacks WebCodecs") {
				t.Errorf("got %q", s)
			}
		}
		c := got.Capabilities
		if len(c.Video.Send)+len(c.Video.Receive)+len(c.Audio.Send)+len(c.Audio.Receive) > 0 || !strings.Contains(c.Reason, "WebCodecs (VideoEncoder, VideoDecoder, AudioEncoder") {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("receiver only", func(t *testing.T) {
		var c capabilities
		open(t, b, address+"/?without=VideoEncoder").test(&c, "capabilities")
		if len(c.Video.Send) > 0 || len(c.Video.Receive) == 0 || !strings.Contains(c.Reason, "(VideoEncoder)") {
			t.Errorf("got %+v", c)
		}
	})
}

// Where sound needs a click, the page is told, and a click starts it.
func TestAutoplay(t *testing.T) {
	p := open(t, browser(t, chromedp.Flag("autoplay-policy", "document-user-activation-required")), serve(t))
	var got struct {
		Can     bool
		Refused string
	}
	p.expected = "AudioContext was not allowed to start"
	p.test(&got, "blocked")
	if got.Can || got.Refused != "blocked" {
		t.Errorf("got %+v before a click", got)
	}
	if err := chromedp.Do(p.ctx, chromedp.Click("#sound")); err != nil {
		t.Fatal(err)
	}
	var after struct {
		Can  bool
		Told []bool
	}
	p.eval("unblocked", &after)
	if !after.Can || !slices.Equal(after.Told, []bool{false, true}) {
		t.Errorf("got %+v after it", after)
	}
}
