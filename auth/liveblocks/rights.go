package liveblocks

import (
	"sync"

	"usher/auth"
)

// opened is the rights that reading and writing a feature are made of.
var opened = [...]struct {
	feature     feature
	read, write auth.Rights
}{
	{storage, auth.ReadStorage, auth.WriteStorage},
	{publicComments, auth.ReadPublicComments, auth.WritePublicComments},
	{privateComments, auth.ReadPrivateComments, auth.WritePrivateComments},
	{feeds, auth.ReadFeeds, auth.WriteFeeds},
}

const (
	// present is what everybody has who may be in a room.
	present = auth.SendPresence | auth.ReceiveTracks
	// spoken is the rights that permission strings speak of.
	spoken = present | auth.SendData | auth.ReadStorage | auth.WriteStorage |
		auth.ReadPublicComments | auth.WritePublicComments | auth.ReadPrivateComments | auth.WritePrivateComments |
		auth.ReadFeeds | auth.WriteFeeds
)

// layers returns an outcome of the sources as layers, in their order. Every
// right is named by one of them: the one that has decided it. What permission
// strings do not speak of is denied by the one that gave the base.
func (f *format) layers(o outcome, sources []source) []auth.Say {
	if o.states[base] == unstated {
		return nil
	}
	allow, deny := make([]auth.Rights, len(sources)), make([]auth.Rights, len(sources))
	say := func(rights auth.Rights, about feature, least level) {
		if by := o.by[about]; o.states[about] >= least {
			allow[by] |= rights
		} else {
			deny[by] |= rights
		}
	}
	say(present, base, read)
	if f.readersBroadcast {
		say(auth.SendData, base, read)
	} else {
		say(auth.SendData, storage, write)
	}
	for _, open := range opened {
		say(open.read, open.feature, read)
		say(open.write, open.feature, write)
	}
	deny[o.by[base]] |= auth.AllRights &^ spoken

	says := make([]auth.Say, 0, len(sources))
	for i, s := range sources {
		if allow[i]|deny[i] != 0 {
			says = append(says, auth.Say{Layer: s.name(), Allow: allow[i], Deny: deny[i]})
		}
	}
	return says
}

// Scopes tells a permission in Liveblocks' words, as clients from 3.20.0 on
// understand them: the shortest list that says of storage, comments and feeds
// what is so. For somebody who has nothing of them that is a list too, since
// whoever is in a room has a base. The list is not to be changed.
func Scopes(p auth.Permission) []string {
	i := 0
	for _, open := range opened {
		i = i*3 + int(levelIn(p.Rights, open.read, open.write)-none)
	}
	return scopes()[i]
}

func levelIn(have, reading, writing auth.Rights) level {
	switch {
	case have.Has(writing):
		return write
	case have.Has(reading):
		return read
	}
	return none
}

// scopes is the lists for all that can be said, three levels of four features,
// in the order of opened: a room of thousands is told thousands of them.
var scopes = sync.OnceValue(func() (lists [3 * 3 * 3 * 3][]string) {
	for i := range lists {
		var s statement
		rest := i
		for k := len(opened) - 1; k >= 0; k-- {
			s[opened[k].feature] = none + level(rest%3)
			rest /= 3
		}
		lists[i] = s.withBase()
	}
	return lists
})

// withBase completes a statement in which base and comments are open, as neither
// is a right of its own, so that it becomes as short as it can be. Comments may
// not say more than public or private ones do: the client takes the most of the
// three for whether somebody can comment (room.ts, canComment).
func (s statement) withBase() (best []string) {
	for _, b := range [...]level{max(read, s[storage]), read, write} {
		for c := max(s[publicComments], s[privateComments]); c >= none; c-- {
			s[base], s[comments] = b, c
			if list := s.shortest(); best == nil || len(list) < len(best) {
				best = list
			}
		}
	}
	return best
}

var (
	legacyWriter    = []string{"room:write"}
	legacyReader    = []string{"room:read", presenceWrite}
	legacyCommenter = []string{"room:read", presenceWrite, "comments:write"}
)

// LegacyScopes is like [Scopes] for clients older than 3.20.0, which know no *:
// words and take nobody for a writer without room:write. They conclude from it
// that one can comment, too. The list is not to be changed.
func LegacyScopes(p auth.Permission) []string {
	switch {
	case p.Allows(auth.WriteStorage):
		return legacyWriter
	case p.Rights.Any(auth.WritePublicComments | auth.WritePrivateComments):
		return legacyCommenter
	}
	return legacyReader
}
