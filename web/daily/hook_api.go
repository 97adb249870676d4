package daily

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"time"

	"usher/auth"
	"usher/room"
)

const (
	probeTimeout = 8 * time.Second
	probesMost   = 4    // of a project, at the same time
	hookBytes    = 2048 // of a URL, a secret
)

// probe is sent to a URL that is to be a webhook, signed as events are.
var probe = []byte(`{"test":"test"}`)

// hookEvents is the events of Daily's that a webhook may ask for. Of those that
// are not sent, for there is nothing here to tell, none ever come.
var hookEvents = []string{
	meetingStarted, meetingEnded, participantJoined, participantLeft, waitingJoined, waitingLeft,

	"recording.started", "recording.ready-to-download", "recording.error",
	"transcript.started", "transcript.ready-to-download", "transcript.error",
	"streaming.started", "streaming.updated", "streaming.ended", "streaming.error",
	"batch-processor.job-finished", "batch-processor.error",
	"dialout.connected", "dialout.answered", "dialout.stopped", "dialout.warning", "dialout.error",
	"dialin.ready", "dialin.connected", "dialin.stopped", "dialin.warning", "dialin.error",
}

// A hookAnswer is a webhook as Daily shows it.
type hookAnswer struct {
	UUID             string   `json:"uuid"`
	URL              string   `json:"url"`
	HMAC             string   `json:"hmac"`
	BasicAuth        *string  `json:"basicAuth"`
	RetryType        string   `json:"retryType"`
	EventTypes       []string `json:"eventTypes"`
	State            string   `json:"state"`
	FailedCount      int      `json:"failedCount"`
	LastMomentPushed *string  `json:"lastMomentPushed"`
	DomainID         string   `json:"domainId"`
	CreatedAt        string   `json:"createdAt"`
	UpdatedAt        string   `json:"updatedAt"`
}

func (c *call) hook(k *hook) hookAnswer {
	k.mu.Lock()
	r := k.record
	k.mu.Unlock()
	health := c.api.Webhooks.cfg.Sender.Health(k.project, r.UUID)
	a := hookAnswer{UUID: r.UUID, URL: r.URL, HMAC: string(r.HMAC), RetryType: r.RetryType, EventTypes: r.EventTypes,
		State: "ACTIVE", FailedCount: health.Failures, DomainID: c.domain.ID, CreatedAt: iso(r.Created), UpdatedAt: iso(r.Updated)}
	if len(r.BasicAuth) > 0 {
		secret := string(r.BasicAuth)
		a.BasicAuth = &secret
	}
	if health.Failed {
		a.State = "FAILED"
	}
	if !health.Pushed.IsZero() {
		at := iso(health.Pushed)
		a.LastMomentPushed = &at
	}
	return a
}

// A hookRequest is what a webhook is asked to be. Nil members are not said.
type hookRequest struct {
	url, hmac, retryType *string
	basicAuth            *string // empty: none
	eventTypes           []string
}

// hookRequest reads the body of a call that makes or changes a webhook.
func (c *call) hookRequest() (r hookRequest, err error) {
	o, err := c.object("url", "eventTypes", "hmac", "basicAuth", "retryType")
	if err != nil {
		return r, err
	}
	text := func(name string) *string {
		if err != nil || !o.has(name) {
			return nil
		}
		var s string
		if s, err = o.text(name); err == nil && len(s) > hookBytes {
			err = invalid("%s has %d bytes, at most %d are allowed", name, len(s), hookBytes)
		}
		return &s
	}
	r = hookRequest{url: text("url"), hmac: text("hmac"), basicAuth: text("basicAuth"), retryType: text("retryType")}
	if b, said := o.fields["basicAuth"]; said && string(b) == "null" {
		r.basicAuth = new(string)
	}
	if err == nil && o.has("eventTypes") {
		r.eventTypes, err = o.list("eventTypes", 10*len(hookEvents))
	}
	if err != nil {
		return r, err
	}
	return r, r.check(o)
}

func (r *hookRequest) check(o object) error {
	if r.url != nil {
		u, err := url.Parse(*r.url)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return invalid("url is not an http or https URL")
		}
	}
	if r.hmac != nil {
		if _, ok := decodeHMAC(*r.hmac); !ok {
			return invalid("hmac is not base64")
		}
	}
	if r.basicAuth != nil {
		for _, b := range []byte(*r.basicAuth) {
			if b < ' ' || b > '~' {
				return invalid("basicAuth has characters that a header cannot have")
			}
		}
	}
	if r.retryType != nil && retryPolicies[*r.retryType].Pause == nil {
		return invalid("retryType '%s' is neither %s nor %s", clip(*r.retryType), circuitBreaker, exponential)
	}
	if o.has("eventTypes") && len(r.eventTypes) == 0 {
		return invalid("eventTypes is empty")
	}
	for _, name := range r.eventTypes {
		if !slices.Contains(hookEvents, name) {
			return invalid("eventTypes has '%s', which is no event", clip(name))
		}
	}
	return nil
}

// apply changes what is said.
func (r *hookRequest) apply(to *hookRecord) {
	if r.url != nil {
		to.URL = *r.url
	}
	if r.hmac != nil {
		to.HMAC = auth.Secret(*r.hmac)
	}
	if r.basicAuth != nil {
		to.BasicAuth = auth.Secret(*r.basicAuth)
	}
	if r.retryType != nil {
		to.RetryType = *r.retryType
	}
	if r.eventTypes != nil {
		to.EventTypes = nil
		for _, name := range r.eventTypes {
			if !slices.Contains(to.EventTypes, name) {
				to.EventTypes = append(to.EventTypes, name)
			}
		}
	}
}

// try sends the probe to what is to be a webhook, which has to take it. Why nothing
// answered is for the operator's eyes: who asks could explore a network with it.
func (h *Hooks) try(ctx context.Context, k *hook, r hookRecord) error {
	if !h.beginProbe(k.project) {
		return tooMany(time.Second)
	}
	defer h.endProbe(k.project)
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	status, err := h.cfg.Sender.Probe(ctx, h.target(k, r), probe)
	switch {
	case err != nil:
		h.cfg.Log.Info("a webhook's probe was not answered", "project", k.project, "webhook", k.uuid, "problem", err)
		return invalid("the url cannot be reached, or did not answer within %d seconds", int(probeTimeout.Seconds()))
	case status != http.StatusOK:
		return invalid("the url answered with status %d, which has to be 200", status)
	}
	return nil
}

// beginProbe reports whether a project may send one more.
func (h *Hooks) beginProbe(project string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.probing[project] >= probesMost {
		return false
	}
	h.probing[project]++
	return true
}

func (h *Hooks) endProbe(project string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.probing[project]--; h.probing[project] == 0 {
		delete(h.probing, project)
	}
}

func createHook(c *call) (any, error) {
	h := c.api.Webhooks
	if h == nil {
		return nil, errNowhere
	}
	req, err := c.hookRequest()
	if err != nil {
		return nil, err
	}
	if req.url == nil {
		return nil, invalid("url is missing")
	}
	if req.eventTypes == nil {
		return nil, invalid("eventTypes is missing")
	}
	now := time.Now().UTC()
	r := hookRecord{UUID: room.NewUUID(), RetryType: circuitBreaker, Created: now, Updated: now}
	req.apply(&r)
	if len(r.HMAC) == 0 {
		r.HMAC = newHMAC()
	}
	k := &hook{project: c.domain.Project, uuid: r.UUID, record: r}
	if err := h.full(k.project); err != nil {
		return nil, err
	}
	if err := h.try(c.Context(), k, r); err != nil {
		return nil, err
	}
	if err := h.add(k); err != nil {
		return nil, err
	}
	if len(h.list(k.project)) == 1 {
		c.recall()
	}
	h.cfg.Log.Info("a webhook was made", "project", k.project, "webhook", r.UUID, "events", r.EventTypes, "retry", r.RetryType)
	return c.hook(k), nil
}

// recall has the first webhook of a project told of the end of what goes on already,
// also when a kill is that end. Until now nobody took note of it.
func (c *call) recall() {
	sender := c.api.Webhooks.cfg.Sender
	for _, s := range c.api.Rooms.List(c.domain.Project, nil) {
		r, ok := c.api.Rooms.Lookup(c.domain.Project, s.Name)
		if !ok || !s.Daily {
			continue
		}
		sum := r.Summary()
		note := func(occasion room.Occasion, who *room.Info) {
			sender.Recall(&room.Occurrence{Occasion: occasion, At: time.Now(), Project: c.domain.Project, Room: sum, Participant: who})
		}
		there := func() (people, waiting []*room.Info) { return r.Participants(), r.Waiting() }
		people, waiting := there()
		if sum.Meeting.ID != "" {
			note(room.MeetingStarted, nil)
		}
		for _, i := range people {
			note(room.ParticipantEntered, i)
		}
		for _, i := range waiting {
			note(room.WaitingEntered, i)
		}
		// Whoever went away meanwhile may have done so before that.
		nowThere, nowWaiting := there()
		for _, i := range without(people, nowThere) {
			note(room.ParticipantDeparted, i)
		}
		for _, i := range without(waiting, nowWaiting) {
			note(room.WaitingDeparted, i)
		}
		if sum.Meeting.ID != "" && r.Summary().Meeting.ID != sum.Meeting.ID {
			note(room.MeetingEnded, nil)
		}
	}
}

// without returns those of a list that are not on another.
func without(list, other []*room.Info) []*room.Info {
	there := make(map[string]bool, len(other))
	for _, i := range other {
		there[i.SID] = true
	}
	return slices.DeleteFunc(list, func(i *room.Info) bool { return there[i.SID] })
}

func newHMAC() auth.Secret {
	var key [32]byte
	_, _ = rand.Read(key[:]) // which never fails
	return auth.Secret(base64.StdEncoding.EncodeToString(key[:]))
}

func listHooks(c *call) (any, error) {
	if c.api.Webhooks == nil {
		return nil, errNowhere
	}
	list := []hookAnswer{}
	for _, k := range c.api.Webhooks.list(c.domain.Project) {
		list = append(list, c.hook(k))
	}
	return list, nil
}

func showHook(c *call) (any, error) {
	if c.api.Webhooks == nil {
		return nil, errNowhere
	}
	k, err := c.api.Webhooks.find(c.domain.Project, c.name)
	if err != nil {
		return nil, err
	}
	return c.hook(k), nil
}

// updateHook changes a webhook, and makes one that has failed work again. Its URL
// is probed in any case.
func updateHook(c *call) (any, error) {
	h := c.api.Webhooks
	if h == nil {
		return nil, errNowhere
	}
	k, err := h.find(c.domain.Project, c.name)
	if err != nil {
		return nil, err
	}
	req, err := c.hookRequest()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	next := k.record
	k.mu.Unlock()
	req.apply(&next)
	if err := h.try(c.Context(), k, next); err != nil {
		return nil, err
	}
	r, err := h.change(k, req.apply)
	if err != nil {
		return nil, err
	}
	h.cfg.Log.Info("a webhook was changed", "project", k.project, "webhook", r.UUID, "events", r.EventTypes, "retry", r.RetryType)
	return c.hook(k), nil
}

func deleteHook(c *call) (any, error) {
	h := c.api.Webhooks
	if h == nil {
		return nil, errNowhere
	}
	k, err := h.find(c.domain.Project, c.name)
	if err != nil {
		return nil, err
	}
	if err := h.remove(k); err != nil {
		return nil, err
	}
	h.cfg.Log.Info("a webhook was deleted", "project", k.project, "webhook", c.name)
	return nil, nil
}
