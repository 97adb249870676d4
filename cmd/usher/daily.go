package main

import (
	"log/slog"
	"strings"
	"sync"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
)

// domains returns the Daily domains of c, with the secrets that sign their tokens
// where c has none.
func (c *config) domains(made tokenSecrets) []daily.Domain {
	var list []daily.Domain
	for _, p := range c.Projects {
		d := p.Daily
		if !d.configured() {
			continue
		}
		domain := daily.Domain{
			Project: p.Name, Name: d.DomainName, ID: d.DomainID, TokenSecret: auth.Secret(d.TokenSecret),
			Strict: d.strictTokens(), RequireExpiry: d.RequireExp, RequireRoom: d.RequireRoom,
			EndSessions: d.EndSessions, RateLimits: d.RateLimits,
		}
		if len(domain.TokenSecret) == 0 {
			domain.TokenSecret = made[dailySecret+p.Name]
		}
		for _, key := range d.APIKeys {
			domain.APIKeys = append(domain.APIKeys, auth.Secret(key))
		}
		list = append(list, domain)
	}
	return list
}

// roomURLs returns what begins the addresses of rooms, by project, where c says it.
func (c *config) roomURLs() map[string]string {
	urls := map[string]string{}
	for _, p := range c.Projects {
		if p.Daily.RoomURL != "" {
			urls[p.Name] = p.Daily.RoomURL
		}
	}
	return urls
}

// foreignRoomURLs names the settings that say where rooms are, of projects where none
// does: their addresses are Daily's then.
func (c *config) foreignRoomURLs() string {
	var names []string
	for _, p := range c.Projects {
		if p.Daily.configured() && p.Daily.RoomURL == "" {
			names = append(names, p.Name+".daily.room_url")
		}
	}
	return strings.Join(names, " ")
}

// domainByKey is the project with that API key of Daily's API.
func (s *server) domainByKey(key string) (project string, ok bool) {
	domain, ok := s.domains.ByAPIKey(key)
	return domain.Project, ok
}

// served reports whether a project has a domain.
func (s *server) served(project string) bool {
	_, ok := s.domains.ByProject(project)
	return ok
}

// observers are told of everything, in this order.
type observers []room.Observer

func (all observers) Observe(o *room.Occurrence) {
	for _, one := range all {
		one.Observe(o)
	}
}

// looseTokens warns, once of each project and shortcoming, when somebody joins with a
// Daily token that is good for ever, or for every room. Daily takes those, and so do
// we until daily.require_exp and daily.require_room say otherwise.
type looseTokens struct {
	log  *slog.Logger
	seen sync.Map // of project and warning
}

// joined is told of each grant that has let somebody in.
func (l *looseTokens) joined(g *auth.Grant) {
	if g.Format == nil || g.Format.Name() != "daily" || g.Origin != nil {
		return
	}
	for _, warning := range daily.Warnings(g) {
		if _, seen := l.seen.LoadOrStore(g.Project+" "+warning, nil); !seen {
			l.log.Warn("somebody has come in with a Daily token "+warning, "project", g.Project)
		}
	}
}

// loose names the settings of Daily's projects that let in with tokens that are good
// for ever, or for every room.
func (c *config) loose() string {
	var names []string
	for _, p := range c.Projects {
		if !p.Daily.configured() {
			continue
		}
		if !p.Daily.RequireExp {
			names = append(names, p.Name+".daily.require_exp")
		}
		if !p.Daily.RequireRoom {
			names = append(names, p.Name+".daily.require_room")
		}
	}
	return strings.Join(names, " ")
}
