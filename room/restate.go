package room

// A listener with restate belongs to a dialect that has no word for a change of
// oneself and no numbers of events. It is told of a change of its own by a
// snapshot, of nothing about itself besides, and of nothing that its last
// snapshot had already: that would be news of people who are gone.

// others is whom an event about p is not told: p itself, if it is told otherwise.
func (l *listener) others() *listener {
	if l.restate {
		return l
	}
	return nil
}

// A roster is whom snapshots list, for many of them at once.
type roster struct {
	infos    []*Info
	presence map[string]Presence
	size     int
}

// rosterLocked is whom the others are told of: in a room with more people than
// are listed those who publish. Whoever is left out is announced again before it
// is heard from, with its presence. Presences are only in it where some may not
// know them: a client keeps those of people whom a later snapshot has, too.
func (r *Room) rosterLocked() (all roster) {
	everybody := r.shown <= r.rooms.cfg.RosterLimit
	partial := r.partial || !everybody
	all.presence = map[string]Presence{}
	for _, l := range r.audience.listeners {
		q := l.participant
		if q.permission.Hidden() {
			continue
		}
		if !everybody && len(q.tracks) == 0 {
			q.listed, r.partial = false, true
			continue
		}
		q.announced = true
		all.infos = append(all.infos, q.info)
		all.size += q.info.size()
		if partial && q.presence != nil {
			all.presence[q.SID] = q.presence
			all.size += q.presence.size()
		}
	}
	return all
}

// restateLocked tells p everything anew. A later snapshot overtakes an earlier
// one that waits. What is pending was announced, or the snapshot has it.
func (r *Room) restateLocked(b *Batch, p *Participant, all roster) {
	l := p.listener
	s := r.headLocked(p, false)
	s.Participants, s.Presence = make([]*Info, 0, len(all.infos)), all.presence
	for _, i := range all.infos {
		if i.SID != p.SID {
			s.Participants = append(s.Participants, i)
		}
	}
	size := p.info.size() + len(r.settings.Metadata) + all.size
	l.since = r.seq
	f := newFrame(latest, s, size)
	f.current, f.version = &l.restated, l.restated.Add(1)
	l.send(b, f)
}

// broadcastChangesLocked tells everybody of numbered events, in their order, and
// of the number of participants.
func (r *Room) broadcastChangesLocked(b *Batch, events []Event, recount bool) {
	if len(events) == 0 && !recount {
		return
	}
	first := r.seq
	if len(events) > 0 {
		first = events[0].(numbered).seq()
	}
	f := r.changesLocked(events, recount)
	for _, l := range r.audience.listeners {
		if l.since < first {
			l.send(b, f)
			continue
		}
		rest := events
		for len(rest) > 0 && rest[0].(numbered).seq() <= l.since {
			rest = rest[1:]
		}
		if len(rest) > 0 || recount {
			l.send(b, r.changesLocked(rest, recount))
		}
	}
}

// changesLocked is the frame of numbered events.
func (r *Room) changesLocked(events []Event, recount bool) *frame {
	var ev numbered
	switch {
	case len(events) == 1 && !recount:
		ev = events[0].(numbered)
	case len(events) == 0:
		ev = &Changes{Seq: r.seq, NumParticipants: r.shown}
	default:
		// The last change lends its number; the count needs none of its own.
		ev = &Changes{Seq: events[len(events)-1].(numbered).seq(), Changes: events, NumParticipants: r.shown}
	}
	return newFrame(counted, ev, ev.size())
}
