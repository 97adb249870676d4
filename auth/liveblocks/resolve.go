package liveblocks

import (
	"usher/auth"
)

// A source is one list that has a say about somebody: a level of a room's access
// list, a pattern of a token.
type source struct {
	part, key string // its name, in two parts so that it is put together only when needed
	rank      int    // the higher ones decide
	states    statement
}

func (s source) name() string { return s.part + s.key }

// An outcome is what the sources come to, and for each feature which of them,
// by its index, has decided it.
type outcome struct {
	states statement
	by     [features]int
}

// decide lets each feature go by the sources of the highest rank that state it,
// the most permissive of those. If sum is set the base does not go by rank but
// by the most permissive of all. What nobody states is as the base; public and
// private comments are stated by whoever states comments. An outcome without a
// base means nothing but that.
func decide(sources []source, sum bool) outcome {
	var o outcome
	for i, s := range sources {
		for f, l := range s.states {
			if l == unstated {
				continue
			}
			before := -1
			if o.states[f] != unstated {
				before = sources[o.by[f]].rank
			}
			stronger := l > o.states[f]
			if sum && feature(f) == base {
				before = s.rank
			}
			if s.rank > before || s.rank == before && stronger {
				o.states[f], o.by[f] = l, i
			}
		}
	}
	for f := range o.states {
		if o.states[f] == unstated {
			o.states[f], o.by[f] = o.states[base], o.by[base]
		}
	}
	return o
}

// Ranks of the levels of an access list.
const (
	everybody = iota
	group
	person
)

// levelsOf returns the lists of a room's access list that concern somebody and
// state something, weakest first.
func levelsOf(list *auth.AccessList, user string, groups []string) []source {
	if list == nil {
		return nil
	}
	sources := make([]source, 0, 4)
	add := func(part, key string, rank int, words []string) {
		if s := state(words); s != (statement{}) {
			sources = append(sources, source{part, key, rank, s})
		}
	}
	add("defaultAccesses", "", everybody, list.Default)
	for _, id := range groups {
		if words := list.Groups[id]; len(words) > 0 {
			add("groupsAccesses.", id, group, words)
		}
	}
	add("usersAccesses.", user, person, list.Users[user])
	return sources
}

// patternsFor returns the patterns that match a room and state something, the
// most specific last.
func patternsFor(patterns []pattern, room string) []source {
	var sources []source
	for _, p := range patterns {
		if p.matches(room) && p.states != (statement{}) {
			sources = append(sources, source{"permissions.", p.text, len(p.prefix), p.states})
		}
	}
	return sources
}

// Resolve returns what somebody may do in a room with that access list who comes
// with an ID token: the shortest list in today's words, empty for somebody who
// may not be there. Without a list, which is nil, nobody may.
func Resolve(list *auth.AccessList, user string, groups []string) []string {
	return decide(levelsOf(list, user, groups), false).states.shortest()
}

// ResolvePatterns is like [Resolve] for somebody who comes with an access token
// that has these permissions, lists by pattern.
func ResolvePatterns(permissions map[string][]string, room string) []string {
	patterns := make([]pattern, 0, len(permissions))
	for text, list := range permissions {
		patterns = append(patterns, newPattern(text, list))
	}
	sortPatterns(patterns)
	return decide(patternsFor(patterns, room), true).states.shortest()
}
