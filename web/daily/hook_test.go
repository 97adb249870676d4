package daily_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/web/daily"
	"usher/web/webhook"
)

// §5: what a webhook is, from its making to its end, exactly as Daily shows it.
func TestWebhookOfABackend(t *testing.T) {
	b := newBackend(t)
	d := newDesk(t, store.NewMemory(), nil)
	defer d.stop()
	d.must("GET", "/webhooks", "").is(t, 200, `[]`)

	made := d.must("POST", "/webhooks/", `{"url":"`+b.URL+`/hook","eventTypes":["participant.joined","recording.started","participant.joined"]}`)
	const at = `"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`
	shape := regexp.MustCompile(`^\{"uuid":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}","url":"` + regexp.QuoteMeta(b.URL) +
		`/hook","hmac":"[A-Za-z0-9+/]{43}=","basicAuth":null,"retryType":"circuit-breaker","eventTypes":\["participant.joined","recording.started"\],` +
		`"state":"ACTIVE","failedCount":0,"lastMomentPushed":null,"domainId":"` + sessiontest.DailyDomain + `","createdAt":` + at + `,"updatedAt":` + at + `\}$`)
	if !shape.MatchString(made.Text) {
		t.Errorf("got %s", made.Text)
	}
	uuid := made.Str("uuid")
	d.must("GET", "/webhooks/"+uuid, "").is(t, 200, made.Text)
	d.must("GET", "/webhooks", "").is(t, 200, "["+made.Text+"]")
	d.with(otherKey, "GET", "/webhooks", "").is(t, 200, `[]`)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		d.with(otherKey, method, "/webhooks/"+uuid, "").want(t, 404, "not-found", "webhook "+uuid+" not found")
	}
	probe := b.requests()[0]
	if len(b.requests()) != 1 || probe.body != `{"test":"test"}` || probe.header.Get("Content-Type") != "application/json" || probe.header.Get("Authorization") != "" {
		t.Errorf("the probe was %v", b.requests())
	}
	probe.signed(t, made.Str("hmac"))

	// What is not said stays, null takes the one away that may be missing.
	secret := base64.StdEncoding.EncodeToString([]byte("a secret of the backend's own"))
	changed := d.must("POST", "/webhooks/"+uuid, `{"hmac":"`+secret+`","basicAuth":"dXNlcjpwYXNz","retryType":"exponential","eventTypes":["participant.left"]}`)
	for name, want := range map[string]string{"uuid": uuid, "url": b.URL + "/hook", "hmac": secret, "basicAuth": "dXNlcjpwYXNz", "retryType": "exponential", "createdAt": made.Str("createdAt")} {
		if got := changed.Str(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	probes := b.requests()
	if len(probes) != 2 || probes[1].header.Get("Authorization") != "Basic dXNlcjpwYXNz" {
		t.Errorf("the second probe was %v", probes)
	}
	probes[1].signed(t, secret)
	if again := d.must("POST", "/webhooks/"+uuid, `{"basicAuth":null}`); again.Fields["basicAuth"] != nil || again.Str("hmac") != secret {
		t.Errorf("got %s", again.Text)
	}
	b.requests()[2].signed(t, secret)

	d.must("DELETE", "/webhooks/"+uuid, "").is(t, 200, "")
	d.call("DELETE", "/webhooks/"+uuid, "").want(t, 404, "not-found", "webhook "+uuid+" not found")
	d.must("GET", "/webhooks", "").is(t, 200, `[]`)
}

// §5: what is not taken, and says what is wrong. The probe has not been sent.
func TestWebhooksThatAreRefused(t *testing.T) {
	b := newBackend(t)
	d := newDesk(t, store.NewMemory(), nil)
	defer d.stop()
	with := func(more string) string {
		return `{"url":"` + b.URL + `","eventTypes":["meeting.started"],` + more + `}`
	}
	for name, c := range map[string]struct{ body, info string }{
		"no URL":             {`{"eventTypes":["meeting.started"]}`, "url is missing"},
		"no events":          {`{"url":"` + b.URL + `"}`, "eventTypes is missing"},
		"an empty list":      {`{"url":"` + b.URL + `","eventTypes":[]}`, "eventTypes is empty"},
		"an unknown event":   {`{"url":"` + b.URL + `","eventTypes":["meeting.started","meeting.stared"]}`, "eventTypes has 'meeting.stared', which is no event"},
		"events as text":     {`{"url":"` + b.URL + `","eventTypes":"meeting.started"}`, "eventTypes is not a list of strings"},
		"another scheme":     {`{"url":"ftp://user:sesame@host/","eventTypes":["meeting.started"]}`, "url is not an http or https URL"},
		"no address":         {`{"url":"/hook","eventTypes":["meeting.started"]}`, "url is not an http or https URL"},
		"a number as URL":    {`{"url":7,"eventTypes":["meeting.started"]}`, "url is not a string"},
		"no base64":          {with(`"hmac":"sesame!"`), "hmac is not base64"},
		"an empty secret":    {with(`"hmac":""`), "hmac is not base64"},
		"a secret of lines":  {with(`"basicAuth":"a\nb"`), "basicAuth has characters that a header cannot have"},
		"an unknown retry":   {with(`"retryType":"often"`), "retryType 'often' is neither circuit-breaker nor exponential"},
		"an unknown member":  {with(`"eventtypes":[]`), "unknown parameter 'eventtypes'; there are url, eventTypes, hmac, basicAuth, retryType"},
		"a URL without end":  {`{"url":"` + b.URL + `/` + strings.Repeat("x", 2048) + `","eventTypes":["meeting.started"]}`, ""},
		"an array as a body": {`[]`, "the request is not an object"},
	} {
		got := d.call("POST", "/webhooks", c.body)
		if c.info != "" {
			got.want(t, 400, "invalid-request-error", c.info)
		} else if got.status != 400 || !strings.Contains(got.Str("info"), "at most 2048") {
			t.Errorf("%s: got %d %s", name, got.status, got.Text)
		}
		if strings.Contains(got.Text, "sesame") {
			t.Errorf("%s: the answer quotes a secret: %s", name, got.Text)
		}
	}
	if got := b.requests(); len(got) > 0 {
		t.Errorf("probes were sent: %v", got)
	}
	for i := range 101 {
		got := d.call("POST", "/webhooks", with(`"retryType":"exponential"`))
		if i < 100 && got.status != 200 {
			t.Fatalf("number %d: %s", i, got.Text)
		}
		if i == 100 {
			got.want(t, 400, "invalid-request-error", "there are 100 webhooks, which is as many as there may be")
		}
	}
	if got := b.requests(); len(got) != 100 {
		t.Errorf("%d probes, want none for the one too many", len(got))
	}
}

// §5: the probe has to be answered with 200, or there is no webhook, and no change
// of one.
func TestProbeThatIsNotTaken(t *testing.T) {
	b := newBackend(t)
	gone := newBackend(t)
	gone.Close()
	d := newDesk(t, store.NewMemory(), nil)
	defer d.stop()
	kept := d.create(b.URL, "")
	for _, status := range []int{201, 204, 302, 404, 500} {
		b.answers(func(delivery) int { return status })
		info := "the url answered with status " + strconv.Itoa(status) + ", which has to be 200"
		d.call("POST", "/webhooks", `{"url":"`+b.URL+`","eventTypes":["meeting.started"]}`).want(t, 400, "invalid-request-error", info)
		d.call("POST", "/webhooks/"+kept.Str("uuid"), `{"retryType":"exponential"}`).want(t, 400, "invalid-request-error", info)
	}
	got := d.call("POST", "/webhooks", `{"url":"http://user:sesame@`+strings.TrimPrefix(gone.URL, "http://")+`/?key=sesame","eventTypes":["meeting.started"]}`)
	if got.status != 400 || got.Str("error") != "invalid-request-error" || got.Str("info") != "the url cannot be reached, or did not answer within 8 seconds" {
		t.Errorf("got %d %s", got.status, got.Text)
	}
	d.must("GET", "/webhooks", "").is(t, 200, "["+kept.Text+"]")
}

// Webhooks, what they are and what waits for them, outlast a kill, and so does the
// end of one.
func TestWebhooksAfterAKill(t *testing.T) {
	b := newBackend(t)
	kept := store.NewMemory()
	d := newDesk(t, kept, nil)
	one := d.create(b.URL, `,"basicAuth":"c2VjcmV0"`)
	two := d.create(b.URL, "")
	d.must("DELETE", "/webhooks/"+two.Str("uuid"), "")
	b.answers(func(delivery) int { return 500 })
	d.occur("a", room.Occurrence{Occasion: room.MeetingStarted})
	d.enter("a", "ada")
	b.events(1)
	left := copied(t, kept)
	d.stop()

	b.answers(nil)
	before := len(b.events(0))
	d = newDesk(t, left, nil)
	defer d.stop()
	got := d.must("GET", "/webhooks", "")
	if !strings.HasPrefix(got.Text, `[{"uuid":"`+one.Str("uuid")+`"`) || strings.Contains(got.Text, two.Str("uuid")) {
		t.Errorf("got %s", got.Text)
	}
	// Those who were there are gone with the process.
	var names []string
	for _, e := range b.events(before + 4)[before:] {
		names = append(names, e.event())
		e.signed(t, one.Str("hmac"))
		if got := e.header.Get("Authorization"); got != "Basic c2VjcmV0" {
			t.Errorf("Authorization is %q", got)
		}
	}
	if want := []string{"meeting.started", "participant.joined", "participant.left", "meeting.ended"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestDamagedWebhooksStopTheStart(t *testing.T) {
	for _, s := range []store.Setting{
		{Key: "daily/webhook/test/1", Value: []byte(`{`)},
		{Key: "daily/webhook/test/1", Value: []byte(`{"uuid":"2","url":"http://a/","retryType":"exponential"}`)},
		{Key: "daily/webhook/test/1", Value: []byte(`{"uuid":"1","url":"http://a/","retryType":"never"}`)},
		{Key: "daily/webhook/test/1", Value: []byte(`{"uuid":"1","url":"nowhere","retryType":"exponential"}`)},
	} {
		kept := store.NewMemory()
		if err := kept.Commit(s.Put()).Wait(); err != nil {
			t.Fatal(err)
		}
		sender, err := webhook.New(webhook.Config{Store: kept, Encode: daily.EncodeWebhook})
		if err != nil {
			t.Fatal(err)
		}
		if err := daily.NewHooks(daily.HooksConfig{Sender: sender, Store: kept}).Load(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), s.Key) {
			t.Errorf("%s: got %v", s.Value, err)
		}
	}
}

// No secret of a webhook is in the log, whatever goes wrong.
func TestSecretsOfWebhooksStaySecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu     sync.Mutex
			fails  error
			signed []string
		)
		d := newDesk(t, store.NewMemory(), func(c *webhook.Config) {
			c.Transport = line(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				signed = append(signed, r.Header.Get("X-Webhook-Signature"), r.Header.Get("Authorization"))
				if fails != nil {
					return nil, fails
				}
				return reply(200), nil
			})
		})
		set := func(err error) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			fails = err
		}
		hmac := base64.StdEncoding.EncodeToString([]byte("hidden-hmac-of-some-length"))
		uuid := d.create("http://hidden-user:hidden-password@sink.example/hook?key=hidden-key", `,"hmac":"`+hmac+`","basicAuth":"hidden-basic"`).Str("uuid")
		set(errors.New("connection refused"))
		d.enter("a", "ada")
		time.Sleep(time.Hour) // it fails
		d.call("POST", "/webhooks/"+uuid, `{}`)
		set(nil)
		d.must("POST", "/webhooks/"+uuid, `{"hmac":null}`)
		d.enter("a", "bob")
		synctest.Wait()
		d.must("DELETE", "/webhooks/"+uuid, "")
		d.stop()
		text := d.log.String()
		if !strings.Contains(text, uuid) || !strings.Contains(text, "url=http://sink.example ") {
			t.Errorf("the log does not name the webhook: %s", text)
		}
		for _, word := range append(signed, "hidden", hmac, "/hook") {
			if strings.Contains(text, word) {
				t.Errorf("the log has %q: %s", word, text)
			}
		}
	})
}
