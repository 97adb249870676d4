package browsertest_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"usher/web/browsertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(browsertest.Share(m)) }

func TestOpen(t *testing.T) {
	ctx := browsertest.Open(t)
	if _, err := chromedp.Run(ctx, chromedp.Navigate("data:text/html,<title>hello</title>")); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(ctx, chromedp.Title())
	if err != nil || title != "hello" {
		t.Errorf("got title %q, error %v; want hello", title, err)
	}
}
