package room

import (
	"time"

	"usher/auth"
)

// maxCodecBytes bounds a decoder's configuration: it is told to everybody.
const maxCodecBytes = 8 << 10

// A Track is what a participant asks to publish.
type Track struct {
	Kind   TrackKind
	Source auth.Source
	Name   string
	Muted  bool
	Codec  []byte
}

// PublishTrack announces a track. Its frames come through [Participant.PassFrame].
func (p *Participant) PublishTrack(c Call, t Track) error {
	l := p.rooms.cfg.Limits
	problem := firstOf(l.Name(t.Name), atMost("codec", len(t.Codec), maxCodecBytes))
	return p.do(c, "publishTrack", func() (Reply, error) {
		if problem != nil {
			return Reply{}, problem
		}
		if err := p.mayPublishLocked(t.Source); err != nil {
			return Reply{}, err
		}
		if n := p.rooms.cfg.Limits.Tracks; n > 0 && len(p.tracks) >= n {
			return Reply{}, &LimitError{"tracks", n, "tracks of one participant"}
		}
		r := p.room
		f := &feed{room: r, publisher: p, kind: t.Kind, source: t.Source, info: &TrackInfo{
			SID: r.rooms.newSID("TR_"), Handle: r.newHandle(),
			Kind: t.Kind, Source: t.Source, Name: t.Name, Muted: t.Muted, Codec: t.Codec,
		}}
		r.publishLocked(c.Batch, p, f)
		return Reply{Track: f.info}, nil
	})
}

// mayPublishLocked checks that p may publish a track from s.
func (p *Participant) mayPublishLocked(s auth.Source) error {
	if p.permission.Hidden() {
		_, layer := auth.Explain(auth.Hidden, p.layersLocked()...)
		return &deniedError{Denial{"hidden", layer}}
	}
	name := "canPublishSources"
	if s == auth.NoSource {
		name = "canPublishData"
	} else if !p.permission.Rights.Any(auth.SendTracks) {
		name = "canPublish"
	}
	return p.needLocked(s.Send(), name)
}

// UnpublishTrack ends a track of p's own.
func (p *Participant) UnpublishTrack(c Call, sid string) error {
	return p.do(c, "unpublishTrack", func() (Reply, error) {
		f := p.room.feedLocked(p, sid)
		if f == nil || f.publisher != p {
			return Reply{}, ErrNoTrack
		}
		p.room.unpublishLocked(c.Batch, p, f, "unpublished")
		return Reply{}, nil
	})
}

// MuteTrack mutes or unmutes a track of p's own, or as a moderator mutes
// another's. A moderator cannot unmute: nobody is to be heard unawares.
func (p *Participant) MuteTrack(c Call, sid string, muted bool) error {
	return p.do(c, "muteTrack", func() (Reply, error) {
		r := p.room
		f := r.feedLocked(p, sid)
		if f == nil {
			return Reply{}, ErrNoTrack
		}
		if f.publisher != p {
			if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
				return Reply{}, err
			}
			if err := p.mayTouchLocked(f.publisher); err != nil {
				return Reply{}, err
			}
			if !muted {
				return Reply{}, &InvalidError{"muteTrack: only the publisher can unmute a track"}
			}
		}
		r.muteLocked(c.Batch, f, muted)
		return Reply{Track: f.info}, nil
	})
}

func (r *Room) muteLocked(b *Batch, f *feed, muted bool) {
	if f.info.Muted == muted {
		return
	}
	p := f.publisher
	p.changeTrackLocked(f, func(t *TrackInfo) { t.Muted = muted })
	r.emitLocked(b, &TrackMuted{SID: p.SID, TrackSID: f.info.SID, Muted: muted}, nil)
	if !muted {
		f.interrupted(b) // what came in between was not passed on
	}
}

// Subscribe begins to receive a track.
func (p *Participant) Subscribe(c Call, sid string) error {
	return p.do(c, "subscribe", func() (Reply, error) {
		f := p.room.feedLocked(p, sid)
		if f == nil || f.publisher == p {
			return Reply{}, ErrNoTrack
		}
		if !p.listener.mayReceive(f) {
			_, layer := auth.Explain(f.source.Receive(), p.layersLocked()...)
			return Reply{}, &deniedError{Denial{"canSubscribe", layer}}
		}
		p.listener.accept(c.Batch, f)
		return Reply{Track: f.info}, nil
	})
}

// Unsubscribe ends receiving a track, until p subscribes again.
func (p *Participant) Unsubscribe(c Call, sid string) error {
	return p.do(c, "unsubscribe", func() (Reply, error) {
		f := p.room.feedLocked(p, sid)
		if f == nil || f.publisher == p {
			return Reply{}, ErrNoTrack
		}
		p.listener.decline(c.Batch, f)
		return Reply{}, nil
	})
}

// RequestKeyFrame asks the publisher of a subscribed track for a key frame.
func (p *Participant) RequestKeyFrame(c Call, sid string) error {
	return p.do(c, "requestKeyFrame", func() (Reply, error) {
		f := p.room.feedLocked(p, sid)
		if f == nil || p.listener.subs[f] == nil {
			return Reply{}, ErrNoTrack
		}
		f.askForLocked(c.Batch, p.listener)
		return Reply{}, nil
	})
}

// A TrackFrame is a frame, or a fragment of one, of a track.
type TrackFrame struct {
	Handle  uint32
	Key     bool
	Layer   uint8 // temporal layer
	Last    bool  // the last fragment of its frame
	Counter uint16
	// Wire is the whole WebSocket frame as it is passed on. It is not changed
	// any more.
	Wire []byte
}

// PassFrame passes a frame on to the track's receivers. It is not answered: a
// frame that may not be passed on is dropped. The only error is [ErrFenced].
func (p *Participant) PassFrame(c Call, t TrackFrame) error {
	if beforeLock != nil {
		beforeLock()
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.generation != c.Generation || p.final != nil {
		return ErrFenced
	}
	for _, f := range p.tracks {
		if f.info.Handle != t.Handle {
			continue
		}
		if !p.permission.Allows(f.source.Send()) {
			return nil
		}
		if f.info.Muted {
			f.follow(t.Counter, t.Last)
			return nil
		}
		if len(r.pending) > 0 {
			r.announceLocked(c.Batch)
		}
		r.rooms.metrics.messages[1].Inc()
		fr := &frame{class: lossy, size: len(t.Wire) + frameOverhead, at: time.Now(), raw: t.Wire, key: t.Key, layer: t.Layer, counter: t.Counter}
		f.pass(c.Batch, fr, f.follow(t.Counter, t.Last))
		return nil
	}
	return nil
}
