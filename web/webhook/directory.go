package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"time"

	"usher/room"
)

// A directory is the targets that there are.
type directory struct {
	all      []*target // LiveKit's first
	projects map[string][]*target
	byName   map[string]*target
}

func newDirectory(all []*target) *directory {
	d := &directory{all: all, projects: map[string][]*target{}, byName: map[string]*target{}}
	for _, t := range all {
		project := t.conf.Load().Project
		d.projects[project] = append(d.projects[project], t)
		d.byName[t.id] = t
	}
	return d
}

// pool is that of the project's targets which were added, a new one if there are
// none.
func (d *directory) pool(project string) *pool {
	for _, t := range d.projects[project] {
		if t.pool != nil {
			return t.pool
		}
	}
	return &pool{project: project}
}

// Set adds a target that has an ID, or replaces what the one with that ID is: what
// waits for it goes where it says now. A new one is told of what occurs from now
// on. Before Start, one that is set gets what was not delivered when usher
// stopped. Its errors do not quote the URL, nor what is secret.
func (s *Sender) Set(c Target) error {
	if c.ID == "" || c.API == nil || c.Sign == nil || c.Policy.none() {
		return errors.New("webhook: a target that comes while it runs needs an ID, an API, a signature and a policy")
	}
	conf, err := s.check(c)
	if err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	d := s.targets.Load()
	if t := d.byName[conf.name()]; t != nil {
		t.reset(conf)
		return nil
	}
	t := newTarget(s, conf)
	t.since = time.Now()
	t.pool = d.pool(conf.Project)
	s.targets.Store(newDirectory(append(slices.Clone(d.all), t)))
	return nil
}

// Remove takes out the target with an ID. Nothing more is sent to it, and what
// waits for it is given up.
func (s *Sender) Remove(project, id string) {
	s.changing.Lock()
	defer s.changing.Unlock()
	d := s.targets.Load()
	t := d.byName[nameOf(project, id)]
	if t == nil {
		return
	}
	s.targets.Store(newDirectory(slices.DeleteFunc(slices.Clone(d.all), func(other *target) bool { return other == t })))
	t.end()
}

// Health tells how the target with an ID stands.
func (s *Sender) Health(project, id string) Health {
	t := s.targets.Load().byName[nameOf(project, id)]
	if t == nil {
		return Health{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.health
}

// reset replaces what a target is, with the health that it begins with.
func (t *target) reset(conf *settings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.health.Failed && !conf.Health.Failed {
		t.since = time.Now() // what occurred while it had failed is not for it
	}
	t.health, t.counted = conf.Health, time.Time{}
	t.conf.Store(conf)
	for _, l := range t.lanes {
		t.wakeLocked(l)
	}
}

// takes reports whether the target is told of what occurred at that time.
func (t *target) takes(at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.health.Failed && !at.Before(t.since)
}

// events returns what is told of an occurrence to each target that wants it. All
// targets of one API are told the same.
func (s *Sender) events(o *room.Occurrence) iter.Seq2[*target, *Event] {
	return func(yield func(*target, *Event) bool) {
		targets := s.targets.Load().projects[o.Project]
		var done []*API
		for _, first := range targets {
			api := first.conf.Load().API
			if slices.Contains(done, api) {
				continue
			}
			done = append(done, api)
			for _, e := range api.Encode(o, newID) {
				for _, t := range targets {
					if conf := t.conf.Load(); conf.API == api && conf.wants(&e) && t.takes(o.At) && !yield(t, &e) {
						return
					}
				}
			}
		}
	}
}

// Probe sends something to a target that need not have been set, once, signed as
// an event, and returns the status of the answer. Its errors do not quote the URL.
func (s *Sender) Probe(ctx context.Context, c Target, body []byte) (status int, err error) {
	conf, err := s.check(c)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, conf.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the request cannot be made")
	}
	if err := conf.head(req.Header, &delivery{body: body}); err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("the request failed: %s", describe(err))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, answerBytes)
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}
