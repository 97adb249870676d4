package daily

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"usher/auth"
	"usher/room/store"
	"usher/web/webhook"
)

const (
	// hooksMost bounds the webhooks of a domain: each event is kept and sent for
	// every one of them.
	hooksMost = 100
	// pushedEvery is how often it is written when a webhook last took an event,
	// as long as nothing else has changed.
	pushedEvery = 10 * time.Second
	// keptAgain is when it is tried again to write how a webhook stands.
	keptAgain = 10 * time.Second
)

// A HooksConfig is what webhooks need. Sender and Store are required.
type HooksConfig struct {
	Sender *webhook.Sender
	Store  store.Store
	Log    *slog.Logger // nil: no log

	// Served reports whether a project is one that there is. The webhooks of others
	// stay in the store and are told of nothing. Nil: all are.
	Served func(project string) bool
}

// Hooks is the webhooks that backends have asked for, each a target of the
// Sender. They are kept in the store, with what they have come to: after a restart
// a webhook has failed as often as before.
//
// # Retries
//
// A webhook of type circuit-breaker is tried again after 5 and after 25 seconds;
// when three attempts in a row have failed, of whatever event, it is FAILED: what
// waits for it is given up, and it is told of nothing until it is posted to. What
// was on its way at that moment arrives. Attempts that fail within those pauses,
// because other rooms have events, are not counted: an outage shorter than half a
// minute is no reason to give up. A webhook of type exponential never
// fails: of each event there are up to five attempts in 15 minutes. Either way the
// events of a room come in order, so that the next one waits while one is tried
// again.
type Hooks struct {
	cfg HooksConfig
	api *webhook.API

	writing sync.Mutex     // held while a webhook is made, changed or deleted
	waits   sync.WaitGroup // for what is written of how webhooks stand
	outages rate.Sometimes // of the store

	mu       sync.Mutex         // guards the following fields
	projects map[string][]*hook // in the order in which they were made
	probing  map[string]int     // probes that are on their way, by project
	closed   bool
}

// A hook is one webhook.
type hook struct {
	project string // static
	uuid    string // static

	mu      sync.Mutex // guards the following fields; held while a change of it is queued
	record  hookRecord
	deleted bool
	unkept  bool // how it stands could not be written
}

// A hookRecord is a webhook as it is kept.
type hookRecord struct {
	UUID       string      `json:"uuid"`
	URL        string      `json:"url"`
	HMAC       auth.Secret `json:"-"`
	BasicAuth  auth.Secret `json:"-"`
	RetryType  string      `json:"retryType"`
	EventTypes []string    `json:"eventTypes"`
	Created    time.Time   `json:"created"`
	Updated    time.Time   `json:"updated"`
	Failed     bool        `json:"failed,omitempty"`
	Failures   int         `json:"failures,omitempty"`
	Pushed     time.Time   `json:"pushed,omitzero"`
}

// keptHook is the JSON of a record, with its secrets.
type keptHook struct {
	hookRecord
	HMAC      string `json:"hmac"`
	BasicAuth string `json:"basicAuth,omitempty"`
}

const (
	circuitBreaker = "circuit-breaker"
	exponential    = "exponential"
)

// retryPolicies is how often webhooks are tried, by their retryType.
var retryPolicies = map[string]webhook.Policy{
	// Three tries of one event as well: or one that is never taken would hold up
	// its room for as long as other rooms' events close the breaker again.
	circuitBreaker: {Trip: 3, Tries: 3, Pause: func(tries int) time.Duration { return pauses(5*time.Second, 5, tries, time.Minute) }},
	// 10 s, 40 s, 160 s, 10 min: with five timeouts it takes less than 15 minutes.
	exponential: {Tries: 5, Within: 15 * time.Minute, Pause: func(tries int) time.Duration { return pauses(10*time.Second, 4, tries, 10*time.Minute) }},
}

func pauses(first time.Duration, factor, tries int, most time.Duration) time.Duration {
	for ; tries > 1 && first < most; tries-- {
		first *= time.Duration(factor)
	}
	return min(first, most)
}

// hookPrefix begins the keys of webhooks among the store's settings.
const hookPrefix = "daily/webhook/"

func hookKey(project, uuid string) string { return hookPrefix + project + "/" + uuid }

// NewHooks returns the webhooks of all domains. [Hooks.Load] reads which there are.
func NewHooks(c HooksConfig) *Hooks {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Served == nil {
		c.Served = func(string) bool { return true }
	}
	return &Hooks{cfg: c, projects: map[string][]*hook{}, probing: map[string]int{}, outages: rate.Sometimes{Interval: time.Minute},
		api: &webhook.API{Encode: EncodeWebhook, ContentType: "application/json", Meetings: true}}
}

// Load reads the webhooks from the store and makes them targets of the Sender. It
// comes before the Sender's Start, which gives them what they have not got yet.
func (h *Hooks) Load() error {
	var list []*hook
	err := store.LoadSettings(h.cfg.Store, func(s store.Setting) error {
		path, ok := strings.CutPrefix(s.Key, hookPrefix)
		if !ok {
			return nil
		}
		var kept keptHook
		err := json.Unmarshal(s.Value, &kept)
		project, _ := strings.CutSuffix(path, "/"+kept.UUID)
		if err != nil || kept.UUID == "" || hookKey(project, kept.UUID) != s.Key || retryPolicies[kept.RetryType].Pause == nil {
			return fmt.Errorf("%w: the webhook %q cannot be read", store.ErrDamaged, s.Key)
		}
		if !h.cfg.Served(project) {
			return nil
		}
		kept.hookRecord.HMAC, kept.hookRecord.BasicAuth = auth.Secret(kept.HMAC), auth.Secret(kept.BasicAuth)
		list = append(list, &hook{project: project, uuid: kept.UUID, record: kept.hookRecord})
		return nil
	})
	if err != nil {
		return fmt.Errorf("daily: loading webhooks: %w", err)
	}
	slices.SortStableFunc(list, func(a, b *hook) int { return a.record.Created.Compare(b.record.Created) })
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range list {
		if err := h.cfg.Sender.Set(h.target(k, k.record)); err != nil {
			return fmt.Errorf("%w: the webhook %q: %v", store.ErrDamaged, hookKey(k.project, k.record.UUID), err)
		}
		h.projects[k.project] = append(h.projects[k.project], k)
	}
	return nil
}

// Close writes how the webhooks stand. It comes after the Sender's Stop, and
// before the store's Close.
func (h *Hooks) Close() {
	h.mu.Lock()
	h.closed = true
	var all []*hook
	for _, list := range h.projects {
		all = append(all, list...)
	}
	h.mu.Unlock()
	for _, k := range all {
		h.keepHealth(k, true)
	}
	h.waits.Wait()
}

// target is what the Sender is told of a webhook.
func (h *Hooks) target(k *hook, r hookRecord) webhook.Target {
	key, _ := decodeHMAC(string(r.HMAC)) // checked when it came
	return webhook.Target{
		Project: k.project, ID: r.UUID, URL: r.URL, API: h.api, Include: r.EventTypes,
		Policy: retryPolicies[r.RetryType],
		Health: webhook.Health{Failed: r.Failed, Failures: r.Failures, Pushed: r.Pushed},
		Sign: func(header http.Header, body []byte, now time.Time) {
			signHook(header, key, r.BasicAuth, body, now)
		},
		Changed: func() { h.keepHealth(k, false) },
	}
}

// signHook sets the headers of Daily's webhooks. The signature is of the time and
// the body, byte for byte.
func signHook(header http.Header, key, basicAuth auth.Secret, body []byte, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	header.Set("X-Webhook-Timestamp", at)
	header.Set("X-Webhook-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if len(basicAuth) > 0 {
		header.Set("Authorization", "Basic "+string(basicAuth))
	}
}

// decodeHMAC reads a secret to sign with, which is base64, with or without its
// padding.
func decodeHMAC(s string) (auth.Secret, bool) {
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return key, err == nil && len(key) > 0
}

// keepHealth queues how a webhook stands to be written, when that is worth it or
// it is the last time. What could not be written is tried again.
func (h *Hooks) keepHealth(k *hook, last bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := &k.record
	health := h.cfg.Sender.Health(k.project, r.UUID)
	same := !k.unkept && health.Failed == r.Failed && health.Failures == r.Failures
	if k.deleted || same && (health.Pushed.Equal(r.Pushed) || !last && health.Pushed.Sub(r.Pushed) < pushedEvery) {
		return
	}
	r.Failed, r.Failures, r.Pushed = health.Failed, health.Failures, health.Pushed
	k.unkept = false
	ticket := h.cfg.Store.Commit(r.put(k.project))
	h.waits.Go(func() { // until it is written or not
		if err := ticket.Wait(); err != nil && !errors.Is(err, store.ErrClosed) {
			h.again(k, err)
		}
	})
}

// again has it tried again to write how a webhook stands, unless this is the end.
func (h *Hooks) again(k *hook, err error) {
	k.mu.Lock()
	waits := k.unkept
	k.unkept = true
	k.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		h.cfg.Log.Error("how a webhook stands could not be written", "project", k.project, "webhook", k.uuid, "error", err)
		return
	}
	h.outages.Do(func() {
		h.cfg.Log.Error("how a webhook stands cannot be written; it is tried again", "project", k.project, "webhook", k.uuid, "error", err)
	})
	if !waits {
		time.AfterFunc(keptAgain, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !h.closed { // else Close has done it
				h.keepHealth(k, false)
			}
		})
	}
}

// put is the change that keeps a webhook.
func (r *hookRecord) put(project string) store.Change {
	value, err := json.Marshal(keptHook{*r, string(r.HMAC), string(r.BasicAuth)})
	if err != nil {
		panic("daily: " + err.Error()) // a record always encodes
	}
	return store.Setting{Key: hookKey(project, r.UUID), Value: value}.Put()
}

// find returns a webhook of a project.
func (h *Hooks) find(project, uuid string) (*hook, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.projects[project] {
		if k.uuid == uuid {
			return k, nil
		}
	}
	return nil, notFound("webhook %s not found", clip(uuid))
}

func (h *Hooks) list(project string) []*hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.projects[project])
}

// full is the problem of a project that has as many webhooks as it may.
func (h *Hooks) full(project string) error {
	if n := len(h.list(project)); n >= hooksMost {
		return invalid("there are %d webhooks, which is as many as there may be", n)
	}
	return nil
}

// add keeps a new webhook and has it told of what occurs from now on.
func (h *Hooks) add(k *hook) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	if err := h.full(k.project); err != nil {
		return err
	}
	if err := h.cfg.Store.Commit(k.record.put(k.project)).Wait(); err != nil {
		return h.unwritten(err)
	}
	if err := h.cfg.Sender.Set(h.target(k, k.record)); err != nil {
		return invalid("%v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.projects[k.project] = append(h.projects[k.project], k)
	return nil
}

// change replaces what a webhook says, and makes it work again if it had failed.
// When it returns that is durable.
func (h *Hooks) change(k *hook, change func(*hookRecord)) (hookRecord, error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	k.mu.Lock()
	before := k.record
	if k.deleted {
		k.mu.Unlock()
		return before, notFound("webhook %s not found", before.UUID)
	}
	r := before
	r.Pushed = h.cfg.Sender.Health(k.project, r.UUID).Pushed
	change(&r)
	r.Failed, r.Failures, r.Updated = false, 0, time.Now().UTC()
	k.record = r
	ticket := h.cfg.Store.Commit(r.put(k.project))
	k.mu.Unlock()
	if err := ticket.Wait(); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.record = before
		return before, h.unwritten(err)
	}
	if err := h.cfg.Sender.Set(h.target(k, r)); err != nil {
		return r, invalid("%v", err)
	}
	h.keepHealth(k, true) // an attempt that failed in between has had its say
	return r, nil
}

// remove drops a webhook. When it returns nothing more is sent to it, also after a
// restart.
func (h *Hooks) remove(k *hook) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	k.mu.Lock()
	if k.deleted {
		k.mu.Unlock()
		return notFound("webhook %s not found", k.uuid)
	}
	k.deleted = true
	ticket := h.cfg.Store.Commit(store.Setting{Key: hookKey(k.project, k.uuid)}.Delete())
	k.mu.Unlock()
	if err := ticket.Wait(); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.deleted = false
		return h.unwritten(err)
	}
	h.cfg.Sender.Remove(k.project, k.uuid)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.projects[k.project] = slices.DeleteFunc(slices.Clone(h.projects[k.project]), func(other *hook) bool { return other == k })
	return nil
}

func (h *Hooks) unwritten(err error) error {
	h.cfg.Log.Error("a webhook cannot be written", "error", err)
	return errDown
}
