package room

import (
	"slices"
	"time"

	"usher/auth"
)

// A Layer is what one layer says, and since when.
type Layer struct {
	auth.Say
	At time.Time
	By string // who said it; empty for the token
}

// Explain returns the layers, weakest first, that decide what a participant may
// do: of the latest, when an identity has several. For somebody who is not there
// it returns what was stated, or [ErrNoParticipant] when nothing was.
func (rs *Rooms) Explain(project, room string, t Target) (*Info, []Layer, error) {
	if r, ok := rs.Lookup(project, room); ok {
		r.mu.Lock()
		if found := r.findLocked(t); len(found) > 0 {
			p := found[len(found)-1]
			defer r.mu.Unlock()
			return p.info, p.explainLocked(), nil
		}
		r.mu.Unlock()
	}
	rs.mu.Lock()
	rec := rs.records[key{project, room}]
	rs.mu.Unlock()
	if rec != nil && t.SID == "" {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if who := rec.people[t.Identity]; who != nil {
			if list := append(slices.Clip(who.inForce), who.early()...); len(list) > 0 {
				return nil, layersOf(list), nil
			}
		}
	}
	return nil, nil, ErrNoParticipant
}

func (p *Participant) explainLocked() []Layer {
	var layers []Layer
	for _, say := range p.base {
		layers = append(layers, Layer{Say: say, At: p.grant.FirstIssued()})
	}
	rec := p.room.record
	rec.mu.Lock()
	layers = append(layers, layersOf(rec.liveLocked(p.Identity, p.room.ID, p.grant))...)
	rec.mu.Unlock()
	if !p.live.IsZero() {
		layers = append(layers, Layer{Say: p.live, At: p.liveAt})
	}
	return layers
}

func layersOf(list []statement) []Layer {
	layers := make([]Layer, len(list))
	for i, s := range list {
		layers[i] = Layer{Say: s.say, At: s.at, By: s.by}
	}
	return layers
}
