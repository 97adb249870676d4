package room

import (
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
		layers := rs.explainAbsent(rec, t.Identity)
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if who := rec.people[t.Identity]; who != nil {
			layers = append(layers, layersOf(who.now(func(*statement) bool { return true }))...)
		}
		if len(layers) > 0 {
			return nil, layers, nil
		}
	}
	return nil, nil, ErrNoParticipant
}

// explainAbsent is what the room's access list says of somebody who is not there,
// as far as that needs no groups.
func (rs *Rooms) explainAbsent(rec *record, identity string) (layers []Layer) {
	f, part, k := rs.cfg.AccessLists, rec.liveblocks.present(), rec.name()
	if f == nil || part == nil {
		return nil
	}
	for _, say := range f.Base(absent(f, k.project, identity, part), k.name, auth.RoomRules{List: &part.Access}) {
		layers = append(layers, Layer{Say: say, At: part.Changed})
	}
	return layers
}

func (p *Participant) explainLocked() []Layer {
	var layers []Layer
	rec := p.room.record
	at := p.grant.FirstIssued()
	if part := rec.liveblocks.present(); part != nil && governed(p.grant, p.room.Name) {
		at = part.Changed // it is the access list's word, not the token's
	}
	day := rec.daily.present()
	for _, say := range p.base {
		l := Layer{Say: say, At: at}
		if day != nil && say.Layer == roomLayer && fromDaily(p.grant) {
			l.At = day.Changed
		}
		layers = append(layers, l)
	}
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
