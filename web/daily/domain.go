package daily

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/room/store"
)

// domainLayer is what a domain's permissions are called in explanations.
const domainLayer = "domain"

// usualPermissions are what people may do who are no owners, where nothing else is
// said.
const usualPermissions = `{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":false}`

// settingPrefix begins the key of a domain's properties in the store.
const settingPrefix = "daily/domain/"

// settings is the properties of the domains. Permissions and max_app_message_size
// are obeyed, the others are kept and shown.
type settings struct {
	changing sync.Mutex // held during a change, so that two do not mix; before mu

	mu sync.Mutex     // guards of; a leaf
	of map[string]bag // by project; a bag is replaced, never changed
}

// get returns a project's properties, which may be nil.
func (s *settings) get(project string) bag {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[project]
}

func (s *settings) put(project string, set bag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[project] = set
}

// load reads what the store has, and puts it in force.
func (s *settings) load(from store.Store, domains *daily.Domains) error {
	s.of = make(map[string]bag)
	return store.LoadSettings(from, func(kept store.Setting) error {
		project, ok := strings.CutPrefix(kept.Key, settingPrefix)
		if !ok {
			return nil
		}
		set, err := bagOf(kept.Value)
		if err != nil {
			return fmt.Errorf("%w: the setting %q is not an object: %w", store.ErrDamaged, kept.Key, err)
		}
		say, err := set.permissions()
		if err != nil {
			return fmt.Errorf("%w: the setting %q: %w", store.ErrDamaged, kept.Key, err)
		}
		s.of[project] = set
		domains.SetPermissions(project, say)
		return nil
	})
}

// permissions is what a domain's properties say of people.
func (b bag) permissions() (auth.Say, error) {
	raw, ok := b["permissions"]
	if !ok {
		return auth.Say{Layer: domainLayer}, nil
	}
	return daily.ParsePermissions(raw, domainLayer)
}

// aDomain is a domain as Daily shows it. Those who sign tokens themselves ask for
// its id.
type aDomain struct {
	Name   string `json:"domain_name"`
	ID     string `json:"domain_id"`
	Config bag    `json:"config"`
}

func shownDomain(d daily.Domain, set bag) aDomain {
	config := bag{"permissions": json.RawMessage(usualPermissions)}
	maps.Copy(config, set)
	return aDomain{d.Name, d.ID, config}
}

func showDomain(c *call) (any, error) {
	return shownDomain(c.domain, c.api.settings.get(c.domain.Project)), nil
}

// updateDomain changes what the request names, and leaves the rest. What takes
// something from people is in force before it is written, what gives them
// something is written first.
func updateDomain(c *call) (any, error) {
	o, err := c.object("properties")
	if err != nil {
		return nil, err
	}
	properties, err := o.object("properties")
	if err != nil {
		return nil, err
	}
	s, project := &c.api.settings, c.domain.Project
	s.changing.Lock()
	defer s.changing.Unlock()
	set, err := s.get(project).merge(properties, time.Now())
	if err != nil {
		return nil, err
	}
	before, after := c.api.Domains.Permissions(project), auth.Say{}
	if after, err = set.permissions(); err != nil {
		return nil, err
	}
	if err := c.revise(narrower(before, after)); err != nil {
		return nil, err
	}
	if err := c.api.Store.Commit(store.Setting{Key: settingPrefix + project, Value: encode(set)}.Put()).Wait(); err != nil {
		return nil, fmt.Errorf("%w: %w", room.ErrUnavailable, err)
	}
	s.put(project, set)
	if err := c.revise(after); err != nil {
		return nil, err
	}
	c.api.Log.Info("domain changed", "project", project, "api", "daily")
	return shownDomain(c.domain, set), nil
}

// revise puts permissions in force for those who are there and those who come.
func (c *call) revise(say auth.Say) error {
	c.api.Domains.SetPermissions(c.domain.Project, say)
	b := c.api.Rooms.Batch()
	defer b.Flush()
	return c.api.Rooms.ReviseDaily(b, c.domain.Project)
}

// governed is what a domain's permissions decide.
const governed = auth.SendTracks | auth.ReceiveTracks | auth.Hidden |
	auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription

// narrower returns what both permit.
func narrower(one, other auth.Say) auth.Say {
	usual := auth.Say{Allow: auth.SendTracks | auth.ReceiveTracks}
	a, b := auth.Resolve(usual, one), auth.Resolve(usual, other)
	rights := (a.Rights&b.Rights&^auth.Hidden | (a.Rights|b.Rights)&auth.Hidden) & governed
	return auth.Say{
		Layer: domainLayer, Allow: rights, Deny: governed &^ rights,
		ReceiveFromIdentity:    common(a.ReceiveFromIdentity, b.ReceiveFromIdentity, least(a, false), least(b, false)),
		ReceiveFromParticipant: common(a.ReceiveFromParticipant, b.ReceiveFromParticipant, least(a, true), least(b, true)),
		AllFromIdentity:        true, AllFromParticipant: true,
	}
}

// least is what is received of everybody of whom nothing is said, at least: by sid
// nothing, or, unless bySID, by identity.
func least(p auth.Permission, bySID bool) auth.Rights {
	rights := p.Rights & auth.ReceiveTracks
	if bySID {
		for _, r := range p.ReceiveFromIdentity {
			rights &= r
		}
	}
	return rights
}

// common is the exceptions of both, each with what both give. Without an exception
// there is the rest.
func common(a, b map[string]auth.Rights, restA, restB auth.Rights) map[string]auth.Rights {
	if len(a)+len(b) == 0 {
		return nil
	}
	of := func(m map[string]auth.Rights, key string, rest auth.Rights) auth.Rights {
		if r, ok := m[key]; ok {
			return r
		}
		if r, ok := m[auth.Everybody]; ok {
			return r
		}
		return rest
	}
	sum := make(map[string]auth.Rights, len(a)+len(b))
	for _, m := range []map[string]auth.Rights{a, b} {
		for key := range m {
			sum[key] = of(a, key, restA) & of(b, key, restB)
		}
	}
	return sum
}
