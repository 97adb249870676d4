package livekit

import (
	"fmt"

	"usher/auth"
)

// A PermissionChange is some of a permission, in the words of LiveKit's server
// API. What is nil is left as it is.
type PermissionChange struct {
	CanSubscribe   *bool `json:"canSubscribe"`
	CanPublish     *bool `json:"canPublish"`
	CanPublishData *bool `json:"canPublishData"`
	// CanPublishSources allows these sources and no others. Empty means every
	// source, when CanPublish is not false.
	CanPublishSources     *[]string `json:"canPublishSources"`
	Hidden                *bool     `json:"hidden"`
	CanUpdateMetadata     *bool     `json:"canUpdateMetadata"`
	CanSubscribeMetrics   *bool     `json:"canSubscribeMetrics"`
	CanManageAgentSession *bool     `json:"canManageAgentSession"`
}

// Statement returns what the change states. Its error names a source that is none.
func (c PermissionChange) Statement() (auth.Say, error) {
	say := auth.Say{Layer: auth.Live}
	p := Permission{}
	given := []struct {
		want *bool
		of   *bool
	}{
		{c.CanSubscribe, &p.CanSubscribe}, {c.CanPublishData, &p.CanPublishData}, {c.Hidden, &p.Hidden},
		{c.CanUpdateMetadata, &p.CanUpdateMetadata}, {c.CanSubscribeMetrics, &p.CanSubscribeMetrics},
		{c.CanManageAgentSession, &p.CanManageAgentSession},
	}
	var named auth.Rights
	for _, g := range given {
		if g.want == nil {
			continue
		}
		*g.of = *g.want
		for _, f := range flags {
			if f.of(&p) == g.of {
				named |= f.rights
			}
		}
	}
	if c.CanPublish != nil || c.CanPublishSources != nil {
		named |= auth.SendTracks
		p.CanPublish = c.CanPublish == nil || *c.CanPublish
	}
	if c.CanPublishSources != nil {
		p.CanPublishSources = *c.CanPublishSources
		for _, name := range p.CanPublishSources {
			if _, ok := auth.ParseSource(name); !ok && name != unknownSource {
				return say, fmt.Errorf("canPublishSources: no source is called %.40q", name)
			}
		}
	}
	allowed := p.rights()
	say.Allow, say.Deny = allowed&named, named&^allowed
	return say, nil
}
