package room

import (
	"maps"

	"usher/auth"
)

// narrowing is rights that whoever has them may do less by.
const narrowing = auth.Hidden | auth.ReceiveOnlyOwners

// A loss is what somebody loses by an edit of what its base comes from. Of what
// narrows, a right is lost by being given.
type loss struct {
	rights                   auth.Rights
	identities, participants lossOfSome // what may be received from them
}

// lossOfSome is what may be received from particular people no longer.
type lossOfSome struct {
	keys  map[string]change // of whom either says something, those who lose nothing included
	other change            // of everybody else
}

// A change is what was lost of some rights, and what there is of them.
type change struct{ lost, left auth.Rights }

// lossOf is what somebody has lost who could do the one and can do the other.
func lossOf(before, after auth.Permission) loss {
	// Of whoever is an exception it is not known here whether it is an owner: what
	// owners were received by and others are not is lost, and what is taken out of a
	// live statement in that case leaves it to the base.
	return loss{
		rights:       less(before.Rights, after.Rights),
		identities:   lossIn(before.ReceiveFromIdentity, after.ReceiveFromIdentity, before, after),
		participants: lossIn(before.ReceiveFromParticipant, after.ReceiveFromParticipant, before, after),
	}
}

func lossIn(before, after map[string]auth.Rights, p, q auth.Permission) (l lossOfSome) {
	between := func(x, y auth.Rights) change { return change{(x &^ y) & auth.ReceiveTracks, y & auth.ReceiveTracks} }
	l.other = between(ofAnybody(p), ofAnybody(q))
	if len(before)+len(after) > 0 {
		l.keys = make(map[string]change, len(before)+len(after))
	}
	for _, exceptions := range []map[string]auth.Rights{before, after} {
		for who := range exceptions {
			l.keys[who] = between(exceptionOr(before, who, p.Rights), exceptionOr(after, who, ofAnybody(q)))
		}
	}
	return l
}

// of is what is lost of somebody.
func (l *lossOfSome) of(who string) change {
	if c, ok := l.keys[who]; ok {
		return c
	}
	if c, ok := l.keys[auth.Everybody]; ok {
		return c
	}
	return l.other
}

// any is what is lost of anybody.
func (l *lossOfSome) any() (r auth.Rights) {
	for _, c := range l.keys {
		r |= c.lost
	}
	return r | l.other.lost
}

func (l *loss) isZero() bool { return l.rights == 0 && l.identities.any()|l.participants.any() == 0 }

// spread is the loss with what is lost of an identity lost of the participants that
// it has in the room: what is said of one by its sid comes first.
func (l loss) spread(r *Room) loss {
	if l.identities.any() == 0 {
		return l
	}
	keys := maps.Clone(l.participants.keys)
	if keys == nil {
		keys = make(map[string]change)
	}
	for identity, c := range l.identities.keys {
		if who := r.people[identity]; who != nil {
			for _, p := range who.participants {
				keys[p.SID] = l.participants.of(p.SID).and(c)
			}
		}
	}
	l.participants = lossOfSome{keys, l.participants.other.and(l.identities.of(auth.Everybody))}
	return l
}

func (c change) and(d change) change {
	c.lost |= d.lost
	if d.lost != 0 {
		c.left &= d.left
	}
	return c
}

// and is what is lost by both.
func (l loss) and(m loss) loss {
	return loss{l.rights | m.rights, l.identities.and(m.identities), l.participants.and(m.participants)}
}

func (l lossOfSome) and(m lossOfSome) lossOfSome {
	switch {
	case len(l.keys) == 0 && l.other == change{}:
		return m
	case len(m.keys) == 0 && m.other == change{}:
		return l
	}
	keys := make(map[string]change, len(l.keys)+len(m.keys))
	for _, by := range []map[string]change{l.keys, m.keys} {
		for who := range by {
			keys[who] = l.of(who).and(m.of(who))
		}
	}
	return lossOfSome{keys, l.other.and(m.other)}
}

// concerns reports whether a live say gives anything that is lost.
func (l loss) concerns(say auth.Say) bool {
	return gives(say) != 0 && !l.isZero() && !sameSays([]auth.Say{taken(say, l)}, []auth.Say{say})
}

// taken is a live say without what an edit takes: what it allowed of that, also
// where it allowed to receive it from somebody in particular. What narrows is taken
// by being given: then its denial goes.
func taken(say auth.Say, l loss) auth.Say {
	say.Allow &^= l.rights &^ narrowing
	say.Deny &^= l.rights & narrowing
	if rights, ok := say.ReceiveFromParticipant[auth.Everybody]; ok && rights.Any(l.identities.any()) {
		// It stands before all that is said of identities.
		say.ReceiveFromParticipant = maps.Clone(say.ReceiveFromParticipant)
		delete(say.ReceiveFromParticipant, auth.Everybody)
	}
	say.ReceiveFromIdentity = l.identities.takenFrom(say.ReceiveFromIdentity, say.Deny, say.AllFromIdentity, l.rights)
	say.ReceiveFromParticipant = l.participants.takenFrom(say.ReceiveFromParticipant, say.Deny, say.AllFromParticipant, l.rights)
	return say
}

// takenFrom is exceptions of a live say without what is lost. Where nothing is left of
// one that the base would not say, it goes, and the base's counts, unless the say has
// it that its own are all there is: then it says what is left.
func (l *lossOfSome) takenFrom(exceptions map[string]auth.Rights, denied auth.Rights, all bool, rights auth.Rights) map[string]auth.Rights {
	rights &= auth.ReceiveTracks
	if len(exceptions) == 0 && !all || l.any()|rights == 0 {
		return exceptions
	}
	out := make(map[string]auth.Rights, len(exceptions))
	for who, has := range exceptions {
		c := l.of(who)
		if rest := has &^ c.lost; rest == has || rest != c.left || all {
			out[who] = rest &^ rights
		}
	}
	if all {
		for who, c := range l.keys {
			if _, ok := exceptions[who]; !ok && c.lost != 0 {
				out[who] = exceptionOr(exceptions, who, c.left&^denied) &^ c.lost
			}
		}
	}
	return out
}

// gives is what a say allows that an edit may take, see taken.
func gives(say auth.Say) auth.Rights {
	r := say.Allow&^narrowing | say.Deny&narrowing
	if say.AllFromIdentity || say.AllFromParticipant {
		r |= auth.ReceiveTracks // of whomever it leaves out
	}
	for _, exceptions := range []map[string]auth.Rights{say.ReceiveFromIdentity, say.ReceiveFromParticipant} {
		for _, rights := range exceptions {
			if rights.Any(auth.ReceiveTracks) {
				r |= rights&auth.ReceiveTracks | auth.ReceiveOnlyOwners // that they are no owners does not matter
			}
		}
	}
	return r
}

// lossOfRight is the loss of one right, where nothing more is known.
func lossOfRight(right auth.Rights) loss {
	l := loss{rights: right}
	if right == auth.ReceiveOnlyOwners {
		l.identities.other.lost, l.participants.other.lost = auth.ReceiveTracks, auth.ReceiveTracks
	}
	return l
}

// less is what somebody has lost who could do the one and can do the other: of what
// narrows, what it has got.
func less(before, after auth.Rights) auth.Rights {
	return (before&^after)&^narrowing | (after&^before)&narrowing
}
