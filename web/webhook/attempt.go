package webhook

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	contentType = "application/webhook+json" // LiveKit's
	userAgent   = "usher"

	// quickRetries are made within a round, by a worker that waits for them;
	// they get over a connection that was cut. Then the room rests.
	quickRetries = 2
	// longestRest is the most that a target can ask for with Retry-After.
	longestRest = 10 * time.Minute
	// answerBytes of an answer are read, so that its connection can be used again.
	answerBytes = 4 << 10
)

// A verdict is how a round of attempts ended.
type verdict struct {
	again   bool          // it is to be tried again, or
	outcome outcome       // it is done with
	wait    time.Duration // at least until it is tried again
	problem string        // for the log
}

// deliver makes a round of attempts.
func (t *target) deliver(ctx context.Context, d *delivery) verdict {
	s, conf := t.sender, t.conf.Load()
	tries := quickRetries
	if !conf.Policy.none() {
		tries = 0
	}
	v := verdict{again: true, problem: "stopped"}
	client := &retryablehttp.Client{
		HTTPClient:   s.client,
		RetryWaitMin: s.cfg.RetryMin,
		RetryWaitMax: s.cfg.RetryMax,
		RetryMax:     tries,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			if err != nil && ctx.Err() != nil {
				return false, ctx.Err() // that was us
			}
			var result result
			v, result = judge(resp, err)
			if !conf.Policy.none() && result != resultOK {
				v = verdict{again: true, problem: v.problem}
			}
			s.metrics.attempts[result].Inc()
			// A target that hangs, or asks for a pause, is not asked again soon.
			return v.again && v.wait == 0 && result != resultTimeout, nil
		},
		Backoff:      func(_, _ time.Duration, n int, _ *http.Response) time.Duration { return s.pause(n) },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		PrepareRetry: func(r *http.Request) error {
			r.Header = r.Header.Clone() // the last attempt may still be writing it
			return conf.sign(r.Header, d, time.Now())
		},
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, conf.URL, d.body)
	if err == nil {
		err = conf.head(req.Header, d)
	}
	if err != nil {
		return verdict{outcome: rejected, problem: "the request cannot be made"}
	}
	resp, err := client.Do(req)
	if err == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, answerBytes)
		_ = resp.Body.Close()
	}
	return v
}

// head sets an event's headers.
func (t *settings) head(h http.Header, d *delivery) error {
	h.Set("Content-Type", t.API.ContentType)
	h.Set("User-Agent", userAgent)
	return t.sign(h, d, time.Now())
}

// judge decides what one attempt means.
func judge(resp *http.Response, err error) (verdict, result) {
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return verdict{again: true, problem: "timed out"}, resultTimeout
		}
		return verdict{again: true, problem: describe(err)}, resultError
	}
	problem := "status " + strconv.Itoa(resp.StatusCode)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return verdict{outcome: delivered}, resultOK
	case code == http.StatusTooManyRequests, code >= 500:
		return verdict{again: true, wait: retryAfter(resp.Header, time.Now()), problem: problem}, resultBusy
	}
	return verdict{outcome: rejected, problem: problem}, resultRejected
}

// describe returns what an error says, without the URL that it quotes.
func describe(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// retryAfter reads how long to wait, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestRest)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), longestRest))
	}
	return 0
}
