package browsertest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long one thing may take to be seen, on a machine that is busy.
const patience = time.Minute

// A Tab is a page in a browser. Whatever does not come about on it fails the test,
// which is told what the page says instead.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// An Action is done in a tab before there is a page.
type Action = chromedp.Action[chromedp.Void]

// Fresh is [New] in the browser that the package's tests share.
func Fresh(t testing.TB, address string, expected []string, before ...Action) *Tab {
	t.Helper()
	return New(t, sharedBrowser(t), address, expected, before...)
}

// New opens a page in a browser context of its own, as if it were somebody else's
// browser, of the browser that the context belongs to. The page complains of nothing
// in its console, but for what contains one of the expected texts.
func New(t testing.TB, browser context.Context, address string, expected []string, before ...Action) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	complaints := chromedp.Console(ctx)
	done := make(chan struct{})
	go func() { // ends with the tab
		defer close(done)
		for m, err := range complaints {
			if err != nil {
				return
			}
			if !slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(m.Text, text) }) {
				t.Errorf("the page complains: %s %s", m.Type, m.Text)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	p := &Tab{t, ctx}
	if err := chromedp.Do(ctx); err != nil { // the tab opens, for longer than any timeout
		t.Fatal(err)
	}
	p.Do(append(before, chromedp.Navigate(address))...)
	return p
}

// Script is run before the scripts of every page that the tab loads.
func Script(text string) Action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: text})
		return err
	})
}

// Context is for actions of chromedp that are not here.
func (p *Tab) Context() context.Context { return p.ctx }

// Do does things one after another.
func (p *Tab) Do(steps ...Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%v; the page says:\n%s", err, p.text())
	}
}

// text is what the page says.
func (p *Tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body?.innerText ?? 'nothing'"))
	if err != nil {
		return err.Error()
	}
	return text
}

func awaited(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }

// Eval evaluates an expression that is text, or a promise of one.
func (p *Tab) Eval(expression string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, awaited))
	if err != nil {
		p.t.Fatalf("%s: %v; the page says:\n%s", expression, err, p.text())
	}
	return v
}

// Until waits until the expression is true, looking whenever the page or its focus
// changes.
func (p *Tab) Until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const moves = ["focusin", "focusout", "toggle"];
		const look = () => { if (`+expression+`) { watch.disconnect(); for (const m of moves) document.removeEventListener(m, look, true); done(true); } };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		for (const m of moves) document.addEventListener(m, look, true);
		look();
	})`, awaited))
	if err != nil {
		p.t.Fatalf("waiting for %s: %v; the focus is on %s; the page says:\n%s", expression, err, p.Eval("document.activeElement?.outerHTML.slice(0, 200) ?? ''"), p.text())
	}
}

// Key presses keys, as package kb names them.
func (p *Tab) Key(keys string) {
	p.t.Helper()
	p.Do(chromedp.KeyEvent(keys))
}

// Window makes the page so large, in CSS pixels.
func (p *Tab) Window(width, height int64) {
	p.t.Helper()
	p.Do(chromedp.EmulateViewport(width, height))
}

// Prefer has the page prefer things: "prefers-color-scheme", "dark", and so on.
func (p *Tab) Prefer(pairs ...string) {
	p.t.Helper()
	var features []*emulation.MediaFeature
	for pair := range slices.Chunk(pairs, 2) {
		features = append(features, &emulation.MediaFeature{Name: pair[0], Value: pair[1]})
	}
	p.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	}))
}

// Phone makes the page so large, in CSS pixels, and one that is touched: its pointer
// is coarse.
func (p *Tab) Phone(width, height int64) {
	p.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: true,
		}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
		return err
	}))
}

// Shot takes a picture of what the window shows, or of the whole page.
func (p *Tab) Shot(file string, whole bool) {
	p.t.Helper()
	params := page.CaptureScreenshotParams{Format: "png", CaptureBeyondViewport: new(whole)}
	if whole {
		var size struct{ Width, Height float64 }
		if err := json.Unmarshal([]byte(p.Eval("JSON.stringify({ Width: innerWidth, Height: document.documentElement.scrollHeight })")), &size); err != nil {
			p.t.Fatal(err)
		}
		params.Clip = &page.Viewport{Width: size.Width, Height: size.Height, Scale: 1}
	}
	r, err := chromedp.Call(p.ctx, page.CaptureScreenshot, params)
	if err == nil {
		err = os.WriteFile(file, r.Data, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Album is the folder for pictures that people look at: USHER_SCREENSHOTS, or when
// that is not set one that goes with the test, for that they can be taken is tested
// all the same.
func Album(t testing.TB) (file func(name string) string) {
	t.Helper()
	folder := os.Getenv("USHER_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return func(name string) string { return filepath.Join(folder, name) }
}

// Quote is a text as JavaScript writes it.
func Quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
