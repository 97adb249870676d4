package loadtest

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// runVideo has Speakers publish a video track each to everybody else in one
// room: FPS frames a second of Size bytes, every KeyEvery-th of them, and those
// that are asked for, a key frame of keyFactor times the size. This is an open
// loop: a fragment counts from when its frame was to be sent.
func runVideo(r *run) error {
	if err := r.invite(r.cfg.Speakers+r.cfg.People, r.cfg.Speakers+r.cfg.People); err != nil {
		return err
	}
	r.follow(r.cfg.Speakers)
	v := &video{cameras: make([]camera, r.cfg.Speakers)}
	r.hooks.text, r.hooks.frame = v.text, v.frame
	r.hooks.data = func(p, _ *person, s stamp) {
		r.main.record(p.now - s.at)
		r.unit.Add(1)
	}
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	for _, p := range r.people[:r.cfg.Speakers] {
		p.mu.Lock()
		p.send([]byte(fmt.Sprintf(`{"type":"publishTrack","id":%d,"kind":"video","source":"camera","codec":{"codec":"vp8"}}`, publishID)))
		p.mu.Unlock()
	}
	if !r.until("publishing", r.cfg.Drain, v.published) {
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		return fmt.Errorf("publishing tracks was not answered within %v; errors: %v", r.cfg.Drain, r.failures())
	}
	r.weigh()
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { schedule(r.people[:r.cfg.Speakers], r.cfg.FPS, over, v.send) })
	err := r.sleep("warming up", min(warmUp, r.cfg.Duration))
	if err == nil {
		r.begin()
		err = r.sleep("measuring", r.cfg.Duration)
		r.end()
	}
	close(over)
	sending.Wait()
	r.settle(func() int64 { return r.counts.published.Load() * int64(len(r.people)-1) })
	r.more["frames"], r.more["key_frames"] = v.frames.Load(), v.keys.Load()
	return err
}

// publishID is the id of the one request of a speaker.
const publishID = 1

// keyFactor is how much larger a key frame is.
const keyFactor = 5

type video struct {
	cameras      []camera
	frames, keys atomic.Int64
}

// A camera is a speaker's track. Only the schedule's goroutine touches the
// fields that are not atomic.
type camera struct {
	handle  atomic.Int64 // plus 1; 0: not yet known
	wanted  atomic.Bool  // somebody needs a key frame
	counter uint16
	frames  int
}

func (v *video) published() bool {
	for i := range v.cameras {
		if v.cameras[i].handle.Load() == 0 {
			return false
		}
	}
	return true
}

func (v *video) text(p *person, kind string, b []byte) {
	if p.place >= len(v.cameras) {
		return
	}
	c := &v.cameras[p.place]
	switch kind {
	case "ok":
		if handle, ok := numberField(b, fieldHandle); ok {
			c.handle.Store(handle + 1)
		}
	case "keyFrameRequested":
		c.wanted.Store(true)
	}
}

// frame takes a fragment. The track's handle is the server's word for whose it
// is; the stamp says so, too.
func (v *video) frame(p *person, handle uint32, b []byte) {
	s := readStamp(b[frameHeader:])
	if int(s.sender) < len(v.cameras) && uint32(v.cameras[s.sender].handle.Load()-1) != handle {
		p.run.counts.misdirected.Add(1)
		return
	}
	p.take(s)
}

// temporal is the layer of each frame in turn, by the number of layers.
var temporal = [][]byte{1: {0}, 2: {0, 1}, 3: {0, 2, 1, 2}}

// send sends a speaker's next frame, in fragments where it is large.
func (v *video) send(p *person, at int64) {
	r := p.run
	r.lag.record(clock() - at)
	c := &v.cameras[p.place]
	pattern := temporal[r.cfg.Layers]
	key := c.frames%r.cfg.KeyEvery == 0 || c.wanted.Swap(false)
	size, flags := max(r.cfg.Size, frameStamped), byte(0)
	if key {
		size, flags = size*keyFactor, flagKey
		c.frames = 0
		v.keys.Add(1)
	} else {
		flags = pattern[c.frames%len(pattern)] << 1
	}
	c.frames++
	c.counter++
	var frames []byte
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || !p.joined {
		return
	}
	for size > 0 {
		part := min(size, maxFragment)
		if rest := size - part; rest > 0 && rest < frameStamped {
			part -= frameStamped // the next one has room for its header
		}
		if size -= part; size <= 0 {
			flags |= flagLast
		}
		p.sent++
		r.counts.published.Add(1)
		frames = appendTrackFrame(frames, uint32(c.handle.Load()-1), flags, c.counter, stamp{uint32(p.index), p.sent, at}, part)
	}
	v.frames.Add(1)
	p.conn.sock.send(frames)
}

// failures is a copy of what went wrong so far.
func (r *run) failures() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]int64, len(r.errors))
	for kind, n := range r.errors {
		all[kind] = n
	}
	return all
}
