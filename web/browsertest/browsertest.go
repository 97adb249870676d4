// Package browsertest gives tests a real browser, tabs with pages in it, and what
// one wants to know of a page that people have to use.
//
// [Open] starts a browser for one test, and [New] opens pages in it that know nothing
// of each other. Tests that open many pages share a browser: their TestMain runs
// [Share], and [Fresh] opens the pages.
package browsertest

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// timeout bounds everything a test does with its browser, so that a page that
// never answers fails the test and says where.
const timeout = 5 * time.Minute

// program is the browser, which the environment variable USHER_CHROMIUM names;
// make test sets it. Without it the test is skipped.
func program(t testing.TB) string {
	t.Helper()
	name := os.Getenv("USHER_CHROMIUM")
	if name == "" {
		t.Skip("NO BROWSER: set USHER_CHROMIUM to a Chromium, or run make test, which installs one where it can")
	}
	return name
}

// options are those of every browser here, and then those of one. Its camera and
// microphone are not real, and it does not ask before it gives them.
func options(program string, flags []chromedp.ExecAllocatorOption) []chromedp.ExecAllocatorOption {
	return append(append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // tests may run as root, which Chromium's sandbox refuses
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=15"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.WSURLReadTimeout(timeout),
	), flags...)
}

// start starts a browser and returns the context of its first tab.
func start(program string, flags ...chromedp.ExecAllocatorOption) (tab context.Context, end func(), err error) {
	alloc, release := chromedp.NewExecAllocator(context.Background(), options(program, flags)...)
	tab, _ = chromedp.NewContext(alloc)
	end = func() {
		_ = chromedp.Cancel(tab)
		release()
	}
	// The first action starts the browser, and its context is the browser's
	// life; so it is the tab's own, without a timeout.
	_, err = chromedp.Run(tab, chromedp.Navigate("about:blank"))
	return tab, end, err
}

// Open starts Chromium, with more flags where a test needs some, and returns a
// context for chromedp's actions in an empty tab. The browser ends with the test.
func Open(t testing.TB, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	name := program(t)
	tab, end, err := start(name, flags...)
	t.Cleanup(end)
	if err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(tab, timeout)
	t.Cleanup(cancel)
	return ctx
}

// shared is the browser of the tests of one package.
var shared struct {
	once sync.Once
	tab  context.Context
	end  func()
	err  error
}

// Sharing runs tests that share a browser.
type Sharing struct{ m *testing.M }

// Share is for a package's TestMain: its tests use one browser, which starts with
// the first that needs it.
func Share(m *testing.M) Sharing { return Sharing{m} }

// Run runs the tests, and ends the browser before anybody looks for what was left
// behind.
func (s Sharing) Run() int {
	code := s.m.Run()
	if shared.end != nil {
		shared.end()
	}
	return code
}

// sharedBrowser returns the first tab of the browser that the package's tests share.
func sharedBrowser(t testing.TB) context.Context {
	t.Helper()
	name := program(t)
	shared.once.Do(func() { shared.tab, shared.end, shared.err = start(name) })
	if shared.err != nil {
		t.Fatalf("starting %s: %v", name, shared.err)
	}
	return shared.tab
}
