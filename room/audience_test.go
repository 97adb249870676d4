package room_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
)

// frames is the numbers of the track frames that the member got.
func (m *member) frames() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := []uint64{}
	for b := m.bytes; len(b) >= frameBytes; b = b[frameBytes:] {
		if b[0] == 'W' {
			got = append(got, binary.BigEndian.Uint64(b[1:]))
		}
	}
	return got
}

// asked is how many key frames the member was asked for.
func (m *member) asked() (n int) {
	for _, e := range m.since(0) {
		if _, ok := e.(*room.KeyFrameRequested); ok {
			n++
		}
	}
	return n
}

// A camera is a track that a member publishes.
type camera struct {
	m     *member
	track *room.TrackInfo
}

func publish(t *testing.T, m *member, kind room.TrackKind, source auth.Source) *camera {
	t.Helper()
	c := &camera{m: m}
	if err := m.p.PublishTrack(m.call(uint64(m.count())+1), room.Track{Kind: kind, Source: source, Codec: []byte(`"codec"`)}); err != nil {
		t.Fatal(err)
	}
	m.batch.Flush()
	c.track = last[*room.Reply](t, m).Track
	return c
}

// shoot sends one fragment: its number, what it is of.
func (c *camera) shoot(t *testing.T, n uint64, f room.TrackFrame) {
	t.Helper()
	f.Handle, f.Wire = c.track.Handle, wireFrame(n)
	if err := c.m.p.PassFrame(room.Call{Generation: 1, Batch: c.m.batch}, f); err != nil {
		t.Fatal(err)
	}
	c.m.batch.Flush()
}

func (c *camera) mute(t *testing.T, muted bool) {
	t.Helper()
	if err := c.m.p.MuteTrack(c.m.call(uint64(c.m.count())+1), c.track.SID, muted); err != nil {
		t.Fatal(err)
	}
	c.m.batch.Flush()
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func key(counter uint16) room.TrackFrame {
	return room.TrackFrame{Key: true, Last: true, Counter: counter}
}

func delta(counter uint16) room.TrackFrame { return room.TrackFrame{Last: true, Counter: counter} }

// Whoever comes late learns the codec, and gets a video from its next key frame
// on, for which the publisher is asked. Audio it gets at once.
func TestLateSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		ada := h.join("ada")
		video := publish(t, ada, room.Video, auth.Camera)
		audio := publish(t, ada, room.Audio, auth.Microphone)
		video.shoot(t, 1, key(1))
		time.Sleep(time.Second)
		asked := ada.asked()
		bob := h.join("bob")
		want(t, "key frames asked for", ada.asked(), asked+1)
		told := map[string]string{}
		for _, e := range bob.since(0) {
			if s, ok := e.(*room.TrackSubscribed); ok {
				told[s.Track.SID] = string(s.Track.Codec)
			}
		}
		want(t, "bob's tracks", told, map[string]string{video.track.SID: `"codec"`, audio.track.SID: `"codec"`})
		video.shoot(t, 2, delta(2))
		audio.shoot(t, 3, delta(1))
		video.shoot(t, 4, key(3))
		video.shoot(t, 5, delta(4))
		want(t, "bob's frames", bob.frames(), []int{3, 4, 5})
		want(t, "ada's frames", ada.frames(), []int{})
	})
}

// Requests for key frames are merged to one in 500 ms, and none is forgotten.
func TestKeyFrameRequestsAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		ada := h.join("ada")
		video := publish(t, ada, room.Video, auth.Camera)
		for i := range 10 {
			h.join(fmt.Sprint(i))
			time.Sleep(10 * time.Millisecond)
			video.shoot(t, uint64(i), delta(uint16(i)))
		}
		want(t, "key frames asked for at once", ada.asked(), 1)
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, "key frames asked for in the end", ada.asked(), 2)
	})
}

// A subscriber that comes in the middle of a frame gets none of it.
func TestSubscriberInTheMiddleOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		ada := h.join("ada")
		video := publish(t, ada, room.Video, auth.Camera)
		audio := publish(t, ada, room.Audio, auth.Microphone)
		video.shoot(t, 1, room.TrackFrame{Key: true, Counter: 1})
		audio.shoot(t, 2, room.TrackFrame{Counter: 1})
		bob := h.join("bob")
		video.shoot(t, 3, room.TrackFrame{Key: true, Counter: 1, Last: true})
		audio.shoot(t, 4, room.TrackFrame{Counter: 1, Last: true})
		audio.shoot(t, 5, delta(2))
		video.shoot(t, 6, key(2))
		want(t, "bob's frames", bob.frames(), []int{5, 6})
	})
}

// A frame whose last fragment never comes does not swallow the next one.
func TestUnfinishedFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		ada, bob := h.join("ada"), h.join("bob")
		video := publish(t, ada, room.Video, auth.Camera)
		video.shoot(t, 1, room.TrackFrame{Counter: 1}) // before any key frame
		video.shoot(t, 2, key(2))
		video.shoot(t, 3, room.TrackFrame{Counter: 3})
		video.shoot(t, 4, delta(4))
		want(t, "bob's frames", bob.frames(), []int{2, 3, 4})
	})
}

// What is sent while a track is muted is not passed on, and after that a video
// begins anew.
func TestMutedTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true})
		ada, bob := h.join("ada"), h.join("bob")
		video := publish(t, ada, room.Video, auth.Camera)
		video.shoot(t, 1, key(1))
		video.mute(t, true)
		video.shoot(t, 2, delta(2))
		time.Sleep(time.Second)
		synctest.Wait()
		asked := ada.asked()
		video.mute(t, false)
		want(t, "key frames asked for", ada.asked(), asked+1)
		video.shoot(t, 3, delta(3))
		video.shoot(t, 4, key(4))
		want(t, "bob's frames", bob.frames(), []int{1, 4})
	})
}

// A publisher that resumes may have sent frames that never came: its video
// begins anew for everybody. So does what a receiver that resumes is sent.
func TestVideoBeginsAnewAfterAResume(t *testing.T) {
	for _, who := range []string{"publisher", "receiver"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, room.Config{AutoCreate: true})
				ada, bob := h.join("ada"), h.join("bob")
				video := publish(t, ada, room.Video, auth.Camera)
				video.shoot(t, 1, key(1))
				time.Sleep(time.Second)
				back := ada
				if who == "receiver" {
					back = bob
				}
				joined := last[*room.Snapshot](t, back)
				secret, _ := room.ParseSecret(joined.Secret)
				asked := ada.asked()
				_, generation, _, err := h.rooms.Resume(back.batch, room.Resumption{Session: joined.Session, Secret: secret, Conn: back})
				if err != nil {
					t.Fatal(err)
				}
				back.batch.Flush()
				if ada.asked() <= asked {
					t.Error("no key frame was asked for")
				}
				shoot := func(n uint64, f room.TrackFrame) {
					c := room.Call{Generation: 1, Batch: ada.batch}
					if who == "publisher" {
						c.Generation = generation
					}
					f.Handle, f.Wire = video.track.Handle, wireFrame(n)
					if err := ada.p.PassFrame(c, f); err != nil {
						t.Fatal(err)
					}
					ada.batch.Flush()
				}
				shoot(2, delta(2))
				shoot(3, key(3))
				shoot(4, delta(4))
				want(t, "bob's frames", bob.frames(), []int{1, 3, 4})
			})
		})
	}
}

// TestSubscriptionsModel has people come, go, publish, subscribe and be
// permitted at random, and compares who receives each track with who should.
func TestSubscriptionsModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	h := newHall(t, room.Config{AutoCreate: true, DepartureTimeout: time.Hour})
	keeper := h.join("keeper")
	type person struct {
		*member
		id       uint64
		tracks   []*camera
		declined map[string]bool
		may      bool
	}
	var people []*person
	number := uint64(0)
	for step := range 2000 {
		var p *person
		if len(people) > 0 {
			p = people[rnd.IntN(len(people))]
		}
		ask := func(do func(c room.Call) error) {
			t.Helper()
			p.id++
			if err := do(p.call(p.id)); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			p.batch.Flush()
		}
		var other *camera
		if p != nil {
			if q := people[rnd.IntN(len(people))]; len(q.tracks) > 0 && q != p {
				other = q.tracks[rnd.IntN(len(q.tracks))]
			}
		}
		switch op := rnd.IntN(20); {
		case op < 3 && len(people) < 8:
			people = append(people, &person{member: h.join(fmt.Sprint("person ", step)), declined: map[string]bool{}, may: true})
		case p == nil:
		case op < 5:
			ask(func(c room.Call) error { return p.p.Leave(c) })
			people = slices.DeleteFunc(people, func(q *person) bool { return q == p })
		case op < 9 && len(p.tracks) < 3:
			ask(func(c room.Call) error {
				return p.p.PublishTrack(c, room.Track{Kind: room.Audio, Source: auth.Microphone})
			})
			p.tracks = append(p.tracks, &camera{m: p.member, track: last[*room.Reply](t, p.member).Track})
		case op < 10 && len(p.tracks) > 0:
			ask(func(c room.Call) error { return p.p.UnpublishTrack(c, p.tracks[0].track.SID) })
			p.tracks = p.tracks[1:]
		case op < 13 && other != nil:
			ask(func(c room.Call) error { return p.p.Unsubscribe(c, other.track.SID) })
			p.declined[other.track.SID] = true
		case op < 16 && other != nil && p.may:
			ask(func(c room.Call) error { return p.p.Subscribe(c, other.track.SID) })
			delete(p.declined, other.track.SID)
		case op < 18:
			p.may = !p.may
			say := livekit.StatementOf(livekit.Permission{CanSubscribe: p.may, CanPublish: true, CanPublishData: true})
			h.update(room.Target{Identity: p.p.Identity}, room.Change{Permission: &say})
		}
		// One frame of each track, and everybody looks what has come.
		for _, q := range people {
			for _, c := range q.tracks {
				number++
				c.shoot(t, number, delta(uint16(number)))
				for _, r := range people {
					got := r.frames()
					came := len(got) > 0 && got[len(got)-1] == number
					should := r != q && r.may && !r.declined[c.track.SID]
					if came != should {
						t.Fatalf("step %d: %s got a frame of %s: %v, want %v", step, r.p.Identity, q.p.Identity, came, should)
					}
				}
			}
		}
		for _, q := range people { // long logs cost time
			q.mu.Lock()
			if len(q.bytes) > 200*frameBytes {
				q.bytes = q.bytes[len(q.bytes)-50*frameBytes:]
			}
			q.mu.Unlock()
		}
	}
	_ = keeper
}
