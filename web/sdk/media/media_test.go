package media_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/systeminfo"
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

func TestVideo(t *testing.T) {
	b, address := browser(t, audible), serve(t)
	var can capabilities
	open(t, b, address).test(&can, "capabilities")
	t.Logf("%+v", can)
	for _, list := range [][]string{can.Video.Send, can.Video.Receive} {
		if len(list) < 2 || list[0] != "vp8" || list[1] != "vp9" {
			t.Errorf("got %q, want at least vp8 and vp9", list)
		}
	}
	if !slices.Equal(can.Audio.Send, []string{"opus"}) || !slices.Equal(can.Audio.Receive, []string{"opus"}) || can.Reason != "" {
		t.Errorf("got %+v, want opus and no reason", can)
	}
	for _, codec := range can.Video.Send {
		t.Run("resize "+codec, func(t *testing.T) {
			var got struct {
				Key    bool
				Stats  stats
				Errors []string
			}
			open(t, b, address).test(&got, "resize", codec)
			if !got.Key || got.Stats.Width != 320 || got.Stats.Height != 180 || len(got.Errors) > 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, codec := range can.Video.Send[:2] {
		t.Run("picture "+codec, func(t *testing.T) {
			var got struct {
				Codec struct {
					Codec  string
					Config struct {
						Codec                   string
						CodedWidth, CodedHeight int
					}
					ClockRate int
				}
				Sender, Receiver stats
				Sent             []frame
				Errors           []string
				Now              float64
				Size             []int
				Empty            bool
				Live             string
			}
			open(t, b, address).test(&got, "picture", codec)
			if got.Codec.Codec != codec || got.Codec.Config.CodedWidth != 160 || got.Codec.Config.CodedHeight != 120 || got.Codec.ClockRate != 1000000 {
				t.Errorf("got codec %+v", got.Codec)
			}
			if !slices.Equal(got.Size, []int{160, 120, 160, 120}) || len(got.Errors) > 0 || !got.Empty || got.Live != "live" {
				t.Errorf("got %v, errors %q, empty %t, track %s", got.Size, got.Errors, got.Empty, got.Live)
			}
			if !got.Sent[0].Key {
				t.Error("the first frame is no key frame")
			}
			for i, f := range got.Sent {
				if f.Key && f.Layer != 0 || i > 0 && f.Timestamp <= got.Sent[i-1].Timestamp {
					t.Errorf("frame %d: %+v", i, f)
				}
			}
			if last := got.Sent[len(got.Sent)-1]; got.Now-float64(last.Timestamp) > 5e6 || got.Now < float64(last.Timestamp) {
				t.Errorf("the last frame is of %d, and it is %.0f", last.Timestamp, got.Now)
			}
			if n := got.Sender.Layers; got.Sender.ScalabilityMode == "L1T3" && (n[0] == 0 || n[1] == 0 || n[2] < n[1]) {
				t.Errorf("layers: %v", n)
			}
			if (codec == "vp8" || codec == "vp9") && got.Sender.ScalabilityMode != "L1T3" {
				t.Errorf("%s is encoded as %s", codec, got.Sender.ScalabilityMode)
			}
			t.Logf("%+v\n%+v", got.Sender, got.Receiver)
		})
		t.Run("layers "+codec, func(t *testing.T) {
			var got struct {
				Rendered         map[string]int
				Sender, Receiver stats
				Errors           []string
			}
			open(t, b, address).test(&got, "layers", codec)
			if len(got.Errors) > 0 || got.Receiver.Errors > 0 {
				t.Errorf("errors: %q, %d of the decoder", got.Errors, got.Receiver.Errors)
			}
			if got.Sender.ScalabilityMode == "L1T3" && (got.Rendered["0"] < 4 || got.Rendered["1"] <= got.Rendered["0"] || got.Rendered["3"] <= got.Rendered["1"]) {
				t.Errorf("of 24 frames each, decoded with layers up to: %v", got.Rendered)
			}
			t.Log(got.Rendered)
		})
	}
	t.Run("fewer layers", func(t *testing.T) {
		var got struct{ Sender stats }
		open(t, b, address).test(&got, "picture", "vp8", "L1T1")
		if got.Sender.Layers[1]+got.Sender.Layers[2] > 0 {
			t.Errorf("layers: %v", got.Sender.Layers)
		}
	})
	t.Run("jitter", func(t *testing.T) {
		var got struct {
			Receiver stats
			Errors   []string
		}
		open(t, b, address).test(&got, "jitter")
		if r := got.Receiver; r.Delay > 400 || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("key frame", func(t *testing.T) {
		var got struct{ Before, After []frame }
		open(t, b, address).test(&got, "keyFrame")
		keys := 0
		for _, f := range got.After {
			if f.Key {
				keys++
			}
		}
		if !got.Before[0].Key || keys < 1 || keys > 2 { // one may have been due anyway
			t.Errorf("asked five times at once, got %d key frames: %+v", keys, got)
		}
	})
	t.Run("still", func(t *testing.T) {
		var got struct {
			Sent   []frame
			Errors []string
		}
		open(t, b, address).test(&got, "still")
		if len(got.Errors) > 0 {
			t.Error(got.Errors)
		}
	})
	t.Run("recovery", func(t *testing.T) {
		var got struct {
			Start, Lost, Asked int
			Receiver           stats
			Errors             []string
		}
		open(t, b, address).test(&got, "recovery")
		if got.Start < 1 || got.Lost <= got.Start || got.Asked < got.Lost || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
		t.Logf("%+v", got)
	})
	t.Run("congestion", func(t *testing.T) {
		var got struct {
			Low, High     stats
			Receiver      stats
			Longest, Keys int
			Errors        []string
		}
		open(t, b, address).test(&got, "congestion")
		if got.Low.Dropped == 0 || got.Low.TargetFramerate >= 30 || got.High.TargetBitrate <= got.Low.TargetBitrate || got.Receiver.Errors > 0 || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
		// Half a second of the first target: a key frame and what it took to notice.
		if got.Longest > 25_000 {
			t.Errorf("%d bytes waited", got.Longest)
		}
		t.Logf("%+v", got)
	})
	t.Run("pause", func(t *testing.T) {
		var got struct {
			During int
			First  frame
			Blank  bool
			Errors []string
		}
		open(t, b, address).test(&got, "pause")
		if got.During != 0 || !got.First.Key || !got.Blank || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("replace", func(t *testing.T) {
		var got struct {
			First  frame
			Grows  bool
			Errors []string
		}
		open(t, b, address).test(&got, "replace")
		if !got.First.Key || !got.Grows || len(got.Errors) > 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("stop", func(t *testing.T) {
		var got struct{ After int }
		open(t, b, address).test(&got, "stop")
		if got.After != 0 {
			t.Errorf("%d frames after the end", got.After)
		}
	})
	t.Run("without a processor", func(t *testing.T) {
		var got struct {
			Sent   []frame
			Errors []string
			Empty  bool
		}
		open(t, b, address+"/?without=MediaStreamTrackProcessor,MediaStreamTrackGenerator").test(&got, "picture", "vp8")
		if len(got.Errors) > 0 || !got.Sent[0].Key || !got.Empty {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAudio(t *testing.T) {
	b, address := browser(t, audible), serve(t)
	for name, query := range map[string]string{"processor": "", "worklet": "?without=MediaStreamTrackProcessor"} {
		for _, element := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", name, element), func(t *testing.T) {
				var got struct {
					Codec struct {
						Codec  string
						Config struct {
							Codec                        string
							SampleRate, NumberOfChannels int
						}
					}
					Sender, Loud   stats
					Sent           []frame
					Heard          float64
					During         int
					Loudness       struct{ Sent, Received float64 }
					Quiet          float64
					Playing, Empty bool
					Errors         []string
				}
				open(t, b, address+"/"+query).test(&got, "audio", element)
				if got.Codec.Config.Codec != "opus" || got.Codec.Config.SampleRate != 48000 || len(got.Errors) > 0 {
					t.Errorf("got codec %+v, errors %q", got.Codec, got.Errors)
				}
				if element && (got.Heard < 950 || got.Heard > 1050) {
					t.Errorf("heard %.0f Hz, want 1000", got.Heard)
				}
				if got.During != 0 || !got.Playing || !got.Empty {
					t.Errorf("%d frames during the pause, playing %t, empty %t", got.During, got.Playing, got.Empty)
				}
				// A sine of half the amplitude has a root of the mean square of 0.35.
				for _, level := range []float64{got.Loudness.Sent, got.Loudness.Received} {
					if level < 0.3 || level > 0.4 {
						t.Errorf("loudness is %+v, want 0.35", got.Loudness)
					}
				}
				if got.Quiet != 0 {
					t.Errorf("paused and muted it is %v loud", got.Quiet)
				}
				for i, f := range got.Sent {
					if !f.Key || f.Layer != 0 || i > 0 && f.Timestamp <= got.Sent[i-1].Timestamp {
						t.Errorf("frame %d: %+v", i, f)
					}
				}
				gaps := []int64{}
				for i, f := range got.Sent[1:] {
					gaps = append(gaps, f.Timestamp-got.Sent[i].Timestamp)
				}
				slices.Sort(gaps)
				if median := gaps[len(gaps)/2]; median < 19_000 || median > 21_000 {
					t.Errorf("frames of %d µs, want 20 ms", median)
				}
				t.Logf("%+v %+v", got.Sender, got.Loud)
			})
		}
	}
	t.Run("another origin", func(t *testing.T) { // worklet and all
		var got struct{ Loud stats }
		open(t, b, serve(t, address)+"/?from="+url.QueryEscape(address)).test(&got, "audio", true)
	})
	t.Run("with video", func(t *testing.T) {
		var got struct {
			Apart, Level float64
			Kinds        []string
		}
		open(t, b, address).test(&got, "both")
		if got.Apart > 1000 || len(got.Kinds) != 2 {
			t.Errorf("got %+v", got)
		}
	})
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

// BenchmarkVideo sends and shows 640x360 at 25 frames per second in one page, and tells
// what a frame costs: ms from the encoder's input to its output, ms of the page's
// main thread, and ms of all of the browser's processors.
func BenchmarkVideo(b *testing.B) {
	for _, codec := range []string{"vp8", "vp9", "h264", "av1", "sent only", "none"} {
		b.Run(codec, func(b *testing.B) {
			const frames = 250
			p := open(b, browser(b, audible, chromedp.Flag("use-fake-device-for-media-stream", "fps=25")), serve(b))
			if _, err := chromedp.Call(p.ctx, performance.Enable, performance.EnableParams{}); err != nil {
				b.Fatal(err)
			}
			// "sent only" is vp8 that nobody sees, "none" the camera alone.
			p.test(nil, "costBegins", codec)
			for b.Loop() {
				page, all := p.spent()
				began := time.Now()
				var got struct{ Sender, Receiver stats }
				p.test(&got, "cost", frames)
				seconds := time.Since(began).Seconds()
				pageAfter, allAfter := p.spent()
				b.ReportMetric(got.Sender.EncodeMs, "encode-ms/frame")
				b.ReportMetric((pageAfter-page)*1000/frames, "page-ms/frame")
				b.ReportMetric((allAfter-all)*1000/frames, "cpu-ms/frame")
				b.ReportMetric((allAfter-all)*100/seconds, "%cpu")
				b.ReportMetric(got.Sender.Bitrate/1000, "kbit/s")
				b.ReportMetric(got.Receiver.FPS, "fps")
				b.ReportMetric(0, "ns/op")
			}
			p.test(nil, "costEnds")
		})
	}
}

// spent is the processor time in seconds of the page's main thread, and of the whole browser.
func (p *page) spent() (page, all float64) {
	p.t.Helper()
	metrics, err := chromedp.Call(p.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range metrics.Metrics {
		if m.Name == "TaskDuration" {
			page = m.Value
		}
	}
	processes, err := chromedp.CallBrowser(p.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, process := range processes.ProcessInfo {
		all += process.CPUTime
	}
	return page, all
}
