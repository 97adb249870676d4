// Package browsertest gives tests a real browser.
package browsertest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// timeout bounds everything a test does with its browser, so that a page that
// never answers fails the test and says where.
const timeout = 2 * time.Minute

// Open starts Chromium and returns a context for chromedp's actions in an empty
// tab. The browser ends with the test.
//
// The environment variable USHER_CHROMIUM names the program; make test sets it.
// Without it the test is skipped.
func Open(t testing.TB) context.Context {
	t.Helper()
	program := os.Getenv("USHER_CHROMIUM")
	if program == "" {
		t.Skip("NO BROWSER: set USHER_CHROMIUM to a Chromium, or run make test, which installs one where it can")
	}
	alloc, release := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // tests may run as root, which Chromium's sandbox refuses
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.WSURLReadTimeout(timeout),
	)...)
	t.Cleanup(release)
	tab, _ := chromedp.NewContext(alloc, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() { _ = chromedp.Cancel(tab) })
	ctx, cancel := context.WithTimeout(tab, timeout)
	t.Cleanup(cancel)
	// The first action starts the browser, and its context is the browser's
	// life; so it is the tab's own, without the timeout.
	if _, err := chromedp.Run(tab, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	return ctx
}
