package room_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/room/store"
)

// What was stated about somebody holds after a restart against the tokens that
// were issued until then, and what was refreshed from them. A later one is the
// application's newer word; but not while the room lives.
func TestStatementsOutliveTheProcess(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				cfg := room.Config{AutoCreate: true, Store: s}
				h := start(t, cfg)
				h.join("keeper")
				first := time.Now().Add(-time.Minute)
				later := time.Now().Add(2 * time.Second)
				ada := h.join("ada", issued(first))
				h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
				ada.leave()
				if h.may("ada", issued(later)).Allows(auth.SendData) {
					t.Error("while the room lives, a later token gives the right back")
				}
				if !kill {
					h.stop()
				}

				h = start(t, cfg)
				h.join("keeper")
				for what, token := range map[string]func(*auth.Grant){
					"the first token":                 issued(first),
					"one of the same second":          issued(time.Now()),
					"one that was refreshed since":    refreshed(first, later, ada.p.SID),
					"one with no time":                issued(time.Unix(0, 0)),
					"one refreshed from another one,": refreshed(first.Add(-time.Hour), later, "PA_other"),
				} {
					if h.may("ada", token).Allows(auth.SendData) {
						t.Errorf("%s gives the right back", what)
					}
				}
				if !h.may("ada", issued(later)).Allows(auth.SendData) {
					t.Error("a later token does not count")
				}
				if !h.may("bob", issued(first)).Allows(auth.SendData) {
					t.Error("it holds against others")
				}
				if _, layers, err := h.rooms.Explain("test", "hall", room.Target{Identity: "ada"}); err != nil || len(layers) != 1 || layers[0].By != "denier" {
					t.Errorf("explained for one who is away: %+v, %v", layers, err)
				}
			})
		})
	}
}

// Each right goes by when something was last said of it.
func TestFieldsAreDatedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := room.Config{AutoCreate: true, Store: store.NewMemory()}
		h := start(t, cfg)
		h.join("keeper")
		h.join("ada", issued(time.Now()))
		about := room.Target{Identity: "ada"}
		h.update(about, deny(auth.SendData|auth.SendMicrophone))
		time.Sleep(10 * time.Second)
		between := time.Now()
		time.Sleep(10 * time.Second)
		h.update(about, deny(auth.SendCamera|auth.SendMicrophone))
		second := time.Now()
		time.Sleep(10 * time.Second)

		info, layers, err := h.rooms.Explain("test", "hall", about)
		if err != nil || info == nil || len(layers) != 3 {
			t.Fatalf("explained: %+v, %v", layers, err)
		}
		if l := layers[0]; l.Layer != livekit.Layer || l.By != "" {
			t.Errorf("the weakest layer is %+v", l)
		}
		if l := layers[1]; l.Layer != auth.Live || l.Deny != auth.SendData || !l.At.Equal(between.Add(-10*time.Second)) || l.By != "denier" {
			t.Errorf("what is left of the first statement is %+v", l)
		}
		if l := layers[2]; l.Layer != auth.Live || l.Deny != auth.SendCamera|auth.SendMicrophone || !l.At.Equal(second) {
			t.Errorf("the second statement is %+v", l)
		}

		h = start(t, cfg)
		h.join("keeper")
		for _, c := range []struct {
			issued                   time.Time
			data, camera, microphone bool
		}{
			{between.Add(-time.Minute), false, false, false},
			{between, true, false, false},
			{second, true, false, false}, // of the very second
			{second.Add(time.Second), true, true, true},
		} {
			p := h.may("ada", issued(c.issued))
			if p.Allows(auth.SendData) != c.data || p.Allows(auth.SendCamera) != c.camera || p.Allows(auth.SendMicrophone) != c.microphone {
				t.Errorf("a token of %v may %q", c.issued, p.Rights.Names())
			}
		}
	})
}

// The end of a room's life frees later tokens of what was said in it, and no
// earlier ones.
func TestStatementsOutliveTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true, DepartureTimeout: time.Second})
		first := time.Now()
		ada := h.join("ada", issued(first))
		h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
		life := h.room().ID
		ada.leave()
		time.Sleep(2 * time.Second)
		if _, lives := h.rooms.Lookup("test", "hall"); lives {
			t.Fatal("the room did not end")
		}
		later := time.Now()
		h.join("keeper")
		if h.room().ID == life {
			t.Error("the next life has the id of the one before")
		}
		if h.may("ada", issued(first)).Allows(auth.SendData) || !h.may("ada", issued(later)).Allows(auth.SendData) {
			t.Error("the statement holds against the wrong tokens")
		}
		// What is said in this life holds against all again, and the rest is left as it was.
		ada = h.join("ada", issued(later))
		h.update(room.Target{Identity: "ada"}, deny(auth.SendCamera))
		if p := h.now("ada"); p.Allows(auth.SendCamera) || !p.Allows(auth.SendData) {
			t.Errorf("with the later token it may %q", p.Rights.Names())
		}
		ada.leave()
		if p := h.may("ada", issued(first)); p.Rights.Any(auth.SendCamera | auth.SendData) {
			t.Errorf("with the first token it may %q", p.Rights.Names())
		}
	})
}

// What a store has not got is not given, and what is taken away is gone before.
func TestSlowStore(t *testing.T) {
	about := room.Target{Identity: "ada"}
	begin := func(t *testing.T) (*slowStore, *run, *member) {
		s := newSlowStore(t)
		h := start(t, room.Config{AutoCreate: true, Store: s,
			Refresh: func(*auth.Grant, auth.Current) (string, time.Time, error) { return "token", time.Time{}, nil }})
		h.join("keeper")
		ada := h.join("ada", without(auth.SendData))
		s.hold(true)
		return s, h, ada
	}
	update := func(h *run, ch room.Change) chan error {
		done := make(chan error, 1)
		go func() {
			b := h.rooms.Batch()
			_, err := h.room().Update(b, about, ch)
			b.Flush()
			done <- err
		}()
		return done
	}
	pending := func(t *testing.T, done chan error) {
		t.Helper()
		select {
		case err := <-done:
			t.Fatalf("it answered %v before it was durable", err)
		default:
		}
	}
	must := func(t *testing.T, done chan error) {
		t.Helper()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	expect := func(t *testing.T, h *run, has, hasNot auth.Rights) {
		t.Helper()
		if p := h.now("ada"); !p.Allows(has) || p.Rights.Any(hasNot) {
			t.Errorf("it may %q, want %q and not %q", p.Rights.Names(), has.Names(), hasNot.Names())
		}
	}

	t.Run("widening", func(t *testing.T) {
		s, h, ada := begin(t)
		n := ada.count()
		ch := allow(auth.SendData)
		ch.Name = new("Ada")
		done := update(h, ch)
		<-s.began
		expect(t, h, 0, auth.SendData)
		h.expect(ada, n)
		if info, _ := h.room().Participant(about); info.Name != "" {
			t.Error("the name changed before the permission: that would be two events")
		}
		pending(t, done)
		s.settle(nil)
		must(t, done)
		expect(t, h, auth.SendData, 0)
		h.expect(ada, n, "ParticipantUpdated", "TokenRefreshed")
	})
	t.Run("narrowing", func(t *testing.T) {
		s, h, ada := begin(t)
		n := ada.count()
		ch := deny(auth.SendCamera)
		ch.Name = new("Ada")
		done := update(h, ch)
		<-s.began
		expect(t, h, 0, auth.SendCamera)
		pending(t, done)
		s.settle(nil)
		must(t, done)
		h.expect(ada, n, "ParticipantUpdated", "TokenRefreshed")
	})
	t.Run("both at once", func(t *testing.T) {
		s, h, ada := begin(t)
		n := ada.count()
		done := update(h, room.Change{Permission: &auth.Say{Layer: auth.Live, Allow: auth.SendData, Deny: auth.SendCamera}})
		<-s.began
		expect(t, h, 0, auth.SendData)
		s.settle(nil)
		must(t, done)
		expect(t, h, auth.SendData, auth.SendCamera)
		h.expect(ada, n, "ParticipantUpdated", "TokenRefreshed")
	})
	// The promise: a widening that was on its way does not undo a denial that
	// came after it.
	t.Run("a widening, then a narrowing", func(t *testing.T) {
		s, h, ada := begin(t)
		n := ada.count()
		widened := update(h, allow(auth.SendData|auth.SendCustomVideo))
		<-s.began
		b := h.rooms.Batch()
		narrowed := make(chan error, 1)
		go func() {
			_, err := h.room().Update(b, about, deny(auth.SendData|auth.SendCamera))
			b.Flush()
			narrowed <- err
		}()
		waitFor(t, func() bool { return !h.now("ada").Allows(auth.SendCamera) })
		s.settle(nil)
		must(t, widened)
		expect(t, h, auth.SendCustomVideo, auth.SendData|auth.SendCamera)
		<-s.began
		expect(t, h, auth.SendCustomVideo, auth.SendData|auth.SendCamera)
		pending(t, narrowed)
		s.settle(nil)
		must(t, narrowed)
		expect(t, h, auth.SendCustomVideo, auth.SendData|auth.SendCamera)
		for _, e := range ada.since(n) {
			if u, ok := e.(*room.ParticipantUpdated); ok && u.Participant.Permission.Allows(auth.SendData) {
				t.Error("it had the right for a moment")
			}
		}
	})
	t.Run("a narrowing, then a widening", func(t *testing.T) {
		s, h, _ := begin(t)
		narrowed := update(h, deny(auth.SendCamera|auth.SendMicrophone))
		<-s.began
		widened := update(h, allow(auth.SendCamera))
		s.settle(nil)
		must(t, narrowed)
		<-s.began
		expect(t, h, 0, auth.SendCamera|auth.SendMicrophone)
		s.settle(nil)
		must(t, widened)
		expect(t, h, auth.SendCamera, auth.SendMicrophone)
	})
	t.Run("everybody else goes on", func(t *testing.T) {
		s, h, ada := begin(t)
		done := update(h, allow(auth.SendData))
		<-s.began
		h.join("bob") // the join path asks no disk
		if err := ada.p.UpdatePresence(ada.call(1), room.Presence{"x": []byte("1")}, false); err != nil {
			t.Fatal(err)
		}
		ada.batch.Flush()
		last[*room.Reply](t, ada)
		if _, err := h.room().Participant(about); err != nil {
			t.Fatal(err)
		}
		pending(t, done)
		s.settle(nil)
		must(t, done)
	})
	t.Run("who comes while a widening is on its way", func(t *testing.T) {
		s, h, _ := begin(t)
		done := update(h, allow(auth.SendData))
		<-s.began
		again := h.join("ada", without(auth.SendData)) // replaces the first one
		expect(t, h, 0, auth.SendData)
		s.settle(nil)
		must(t, done)
		expect(t, h, auth.SendData, 0)
		last[*room.ParticipantUpdated](t, again)
	})
	t.Run("a room that ends meanwhile", func(t *testing.T) {
		s, h, ada := begin(t)
		done := update(h, allow(auth.SendData))
		<-s.began
		b := h.rooms.Batch()
		ended := make(chan error, 1)
		r := h.room()
		go func() { ended <- r.Delete(b) }()
		waitFor(t, func() bool { return ada.ended() != nil })
		must(t, ended) // there is nothing of it to write
		s.settle(nil)
		must(t, done)
	})
}

// waitFor waits for something that another goroutine does without a word.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that in 20 s")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A store that cannot write gives nothing away: what was to be taken away is
// gone, as long as the process lives, and what was to be given is not, neither
// now nor after a restart.
func TestFailingStore(t *testing.T) {
	about := room.Target{Identity: "ada"}
	type step struct {
		change room.Change
		fails  bool
	}
	const data, camera, microphone = auth.SendData, auth.SendCamera, auth.SendMicrophone
	for name, c := range map[string]struct {
		steps []step      // each is queued while the one before it is being written
		now   auth.Rights // of data, camera and microphone
		next  auth.Rights // after a restart
	}{
		// The base gives camera and microphone.
		"narrowing":                           {[]step{{deny(camera), true}}, microphone, camera | microphone},
		"widening":                            {[]step{{allow(data), true}}, camera | microphone, camera | microphone},
		"both":                                {[]step{{room.Change{Permission: &auth.Say{Allow: data, Deny: camera}}, true}}, microphone, camera | microphone},
		"a widening, before another's":        {[]step{{allow(data), true}, {deny(camera), false}}, microphone, microphone},
		"a widening, before what fails, too":  {[]step{{allow(data), true}, {deny(camera), true}}, microphone, camera | microphone},
		"a narrowing, before its opposite":    {[]step{{deny(camera), true}, {allow(camera), false}}, camera | microphone, camera | microphone},
		"a narrowing and its opposite":        {[]step{{deny(camera), true}, {allow(camera), true}}, microphone, camera | microphone},
		"the opposite, and another later":     {[]step{{deny(camera), false}, {allow(camera), true}, {deny(microphone), false}}, 0, 0},
		"the opposite, and two others later":  {[]step{{deny(camera), false}, {allow(camera), true}, {deny(microphone), false}, {allow(data), false}}, data, data},
		"two widenings":                       {[]step{{allow(data), true}, {allow(data), true}, {deny(microphone), false}}, camera, camera},
		"a widening that succeeds after all":  {[]step{{allow(data), true}, {deny(camera), true}, {allow(data), false}}, data | microphone, data | microphone},
		"a widening, in between two that do":  {[]step{{deny(microphone), false}, {allow(data), true}, {deny(camera), false}}, 0, 0},
		"a widening, then a denial of it all": {[]step{{allow(data), true}, {deny(data | camera | microphone), false}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore(t)
			cfg := room.Config{AutoCreate: true, Store: s}
			h := start(t, cfg)
			h.join("keeper")
			token := []func(*auth.Grant){issued(time.Now().Add(-time.Minute)), without(data)}
			h.join("ada", token...)
			s.hold(true)
			results := make([]chan error, len(c.steps))
			check := func(i int) {
				t.Helper()
				err := <-results[i]
				if c.steps[i].fails != errors.Is(err, room.ErrUnavailable) || !c.steps[i].fails && err != nil {
					t.Errorf("step %d: got %v, want failed=%t", i, err, c.steps[i].fails)
				}
			}
			verdict := func(i int) error {
				if c.steps[i].fails {
					return errDisk
				}
				return nil
			}
			for i, step := range c.steps {
				results[i] = make(chan error, 1)
				commits := s.committed()
				go func() {
					b := h.rooms.Batch()
					_, err := h.room().Update(b, about, step.change)
					b.Flush()
					results[i] <- err
				}()
				waitFor(t, func() bool { return s.committed() > commits })
				if i > 0 {
					s.settle(verdict(i - 1))
				}
				<-s.began
			}
			s.hold(false) // for what mends the store
			end := len(c.steps) - 1
			s.settle(verdict(end))
			for i := range c.steps {
				check(i)
			}
			const all = data | camera | microphone
			if got := h.now("ada").Rights & all; got != c.now {
				t.Errorf("it may %q, want %q", got.Names(), c.now.Names())
			}
			if got := h.may("ada", token...).Rights & all; got != c.now {
				t.Errorf("when it has joined again it may %q, want %q", got.Names(), c.now.Names())
			}
			h = start(t, cfg)
			h.join("keeper")
			if got := h.may("ada", token...).Rights & all; got != c.next {
				t.Errorf("after a restart it may %q, want %q", got.Names(), c.next.Names())
			}
		})
	}
}

// Several callers change one person at once, some of them all the same rights,
// while some writes fail. What each was told holds, and what is in force is what
// the next start reads.
func TestManyUpdatesOfOnePerson(t *testing.T) {
	rights := []auth.Rights{auth.SendCamera, auth.SendMicrophone, auth.SendScreenShare, auth.SendData, auth.SendPresence, auth.UpdateOwnMetadata}
	for name, c := range map[string]struct{ shared, failing bool }{
		"each its own right":                   {false, false},
		"all of them all rights":               {true, false},
		"each its own right, failing disk":     {false, true},
		"all of them all rights, failing disk": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			seed := newSeed(t)
			s := newSlowStore(t)
			cfg := room.Config{AutoCreate: true, Store: s}
			h := start(t, cfg)
			if c.failing {
				failing := rand.New(rand.NewPCG(seed.Uint64(), 0))
				s.mu.Lock()
				s.fails = func() bool { return failing.IntN(3) == 0 }
				s.mu.Unlock()
			}
			h.join("keeper")
			token := []func(*auth.Grant){issued(time.Now().Add(-time.Minute)), without(auth.SendScreenShare | auth.SendData)}
			h.join("ada", token...)
			about := room.Target{Identity: "ada"}
			var wg sync.WaitGroup
			lastFailed := make([]bool, len(rights))
			for i, own := range rights {
				random := rand.New(rand.NewPCG(seed.Uint64(), uint64(i)))
				wg.Go(func() {
					b := h.rooms.Batch()
					has := h.now("ada").Allows(own)
					for range rounds(100) {
						change, want := allow(own), true
						if random.IntN(2) == 0 {
							change, want = deny(own), false
						}
						if c.shared {
							change.Permission.Allow, change.Permission.Deny = 0, 0
							for _, right := range rights {
								switch random.IntN(3) {
								case 0:
									change.Permission.Allow |= right
								case 1:
									change.Permission.Deny |= right
								}
							}
							if change.Permission.IsZero() {
								continue
							}
						}
						info, err := h.room().Update(b, about, change)
						b.Flush()
						if err != nil && (!c.failing || !errors.Is(err, room.ErrUnavailable)) {
							t.Errorf("got %v", err)
							return
						}
						if c.shared {
							continue
						}
						if err != nil && want {
							want = has // it is as it was
						}
						if lastFailed[i] = err != nil; err == nil && info.Permission.Allows(own) != want {
							t.Errorf("the answer to %+v says %q", change.Permission, info.Permission.Rights.Names())
						}
						if got := h.now("ada"); got.Allows(own) != want {
							t.Errorf("after %+v was answered with %v it may %q", change.Permission, err, got.Rights.Names())
						}
						has = want
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			now := h.now("ada")
			if got := h.may("ada", token...); !got.Equal(now) {
				t.Errorf("it may %q, and joined again %q", now.Rights.Names(), got.Rights.Names())
			}
			// A restart: the last word of each right that was written.
			s.mu.Lock()
			s.fails = nil
			s.mu.Unlock()
			h = start(t, cfg)
			h.join("keeper")
			next := h.may("ada", token...)
			for i, right := range rights {
				if c.failing && (c.shared || lastFailed[i]) {
					continue // a denial that could not be written may be forgotten
				}
				if next.Allows(right) != now.Allows(right) {
					t.Errorf("%q: %t before the restart, %t after it", right.Names(), now.Allows(right), next.Allows(right))
				}
			}
		})
	}
}

// What no valid token is old enough for is forgotten, of rooms without a life.
func TestStatementsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		cfg := room.Config{AutoCreate: true, Store: s, TokenLife: time.Hour, DepartureTimeout: time.Second}
		h := start(t, cfg)
		stop := make(chan struct{})
		defer close(stop)
		go func() { // until the test is over
			for {
				select {
				case <-time.After(time.Second):
					b := h.rooms.Batch()
					h.rooms.Sweep(b)
					b.Flush()
				case <-stop:
					return
				}
			}
		}()
		ada := h.join("ada", issued(time.Now()))
		h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
		keeper := h.join("keeper")
		ada.leave()
		kept := func() (rooms, people int) {
			_ = store.LoadRooms(s, func(*store.Room) error { rooms++; return nil })
			_ = store.LoadPeople(s, func(*store.Person) error { people++; return nil })
			return rooms, people
		}
		time.Sleep(3 * time.Hour)
		if rooms, people := kept(); rooms != 1 || people != 1 {
			t.Errorf("while the room lives %d records and %d statements are kept, want one of each", rooms, people)
		}
		keeper.leave()
		time.Sleep(2 * time.Minute)
		if rooms, people := kept(); rooms != 0 || people != 0 {
			t.Errorf("long after: %d records and %d statements are kept, want none", rooms, people)
		}

		ada = h.join("ada", issued(time.Now()))
		h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
		ada.leave()
		time.Sleep(time.Hour)
		if rooms, people := kept(); rooms != 1 || people != 1 {
			t.Errorf("while a token may be valid %d records and %d statements are kept, want one of each", rooms, people)
		}
		time.Sleep(3 * time.Minute)
		if rooms, people := kept(); rooms != 0 || people != 0 {
			t.Errorf("after the life of a token: %d records and %d statements are kept, want none", rooms, people)
		}
	})
}

// A start that does not understand what is kept ends with an error.
func TestDamagedRecords(t *testing.T) {
	r := &store.Room{ID: "R_1", Project: "test", Name: "hall"}
	for name, changes := range map[string][]store.Change{
		"a statement of no room":    {(&store.Person{Room: "R_1", Identity: "ada", Statements: []store.Statement{{Deny: []string{}}}}).Put()},
		"a right that nobody knows": {r.Put(), (&store.Person{Room: "R_1", Identity: "ada", Statements: []store.Statement{{Deny: []string{"fly"}}}}).Put()},
		"a revocation of nothing":   {(&store.Revocation{ID: "RV_1", Project: "test"}).Put()},
		"no JSON":                   {{Bucket: store.Revocations, Key: "RV_1", Value: []byte("{")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory()
			if err := s.Commit(changes...).Wait(); err != nil {
				t.Fatal(err)
			}
			rooms, err := room.New(room.Config{Store: s})
			if err == nil {
				rooms.Close()
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("got %v, want damaged", err)
			}
		})
	}
}

// What a deletion that could not be written leaves behind, and what a repair has
// lost the other half of, becomes one with what is there, and stays so.
func TestLeftoversAreMerged(t *testing.T) {
	s := store.NewMemory()
	at := time.Now().Add(-time.Hour)
	statement := func(at time.Time, say auth.Say) store.Statement { return store.NewStatement(say, at, "RM_x", "") }
	if err := s.Commit(
		(&store.Room{ID: "R_1", Project: "test", Name: "hall"}).Put(),
		(&store.Room{ID: "R_2", Project: "test", Name: "hall", LiveKit: &store.LiveKitRoom{SID: "RM_1", Metadata: "m"}}).Put(),
		(&store.Person{Room: "R_1", Project: "test", Name: "hall", Identity: "ada", Statements: []store.Statement{statement(at, auth.Say{Deny: auth.SendCamera | auth.SendData})}}).Put(),
		(&store.Person{Room: "R_2", Project: "test", Name: "hall", Identity: "ada", Statements: []store.Statement{statement(at.Add(time.Minute), auth.Say{Allow: auth.SendData})}}).Put(),
		(&store.Person{Room: "R_3", Project: "test", Name: "attic", Identity: "bob", Statements: []store.Statement{statement(at, auth.Say{Deny: auth.SendCamera})}}).Put(),
		(&store.Revocation{ID: "RV_1", Project: "test", Identity: "eve", Until: at.Unix()}).Put(),
		(&store.Revocation{ID: "RV_2", Project: "test", Identity: "eve", Until: at.Unix() + 60, Expires: time.Now().Add(time.Hour)}).Put(),
	).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at first", "after another start"} {
		h := start(t, room.Config{AutoCreate: true, Store: s})
		old := issued(at.Add(-time.Minute))
		if p := h.may("ada", old); p.Allows(auth.SendCamera) || !p.Allows(auth.SendData) {
			t.Errorf("%s ada may %v", when, p.Rights.Names())
		}
		if p := h.may("bob", old, func(g *auth.Grant) { g.Room = "attic" }); p.Allows(auth.SendCamera) {
			t.Errorf("%s bob may %v", when, p.Rights.Names())
		}
		if list := h.rooms.List("test", []string{"hall"}); len(list) != 1 || list[0].Metadata != "m" {
			t.Errorf("%s there are %+v", when, list)
		}
		if _, err := h.enter(grant("eve", issued(at.Add(30*time.Second)))); !errors.Is(err, room.ErrRevoked) {
			t.Errorf("%s eve: got %v", when, err)
		}
		if list := h.rooms.Revocations("test", ""); len(list) != 1 || !list[0].Expires.IsZero() {
			t.Errorf("%s there are %+v", when, list)
		}
		h.stop()
	}
	n := 0
	must(t, store.LoadRooms(s, func(r *store.Room) error {
		if r.Name == "hall" {
			n++
		}
		return nil
	}))
	if n != 1 {
		t.Errorf("%d records of the hall are kept", n)
	}
}

// A thousand updates that come while the disk is busy are written together.
func TestBurstOfUpdatesSharesItsSyncs(t *testing.T) {
	people := 1000
	if testing.Short() {
		people = 100
	}
	s := newSlowStore(t)
	h := start(t, room.Config{AutoCreate: true, Store: s})
	for i := range people {
		h.join(fmt.Sprint("p", i))
	}
	s.hold(true)
	commits, writes := s.committed(), s.writes // of the start
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() {
			b := h.rooms.Batch()
			if _, err := h.room().Update(b, room.Target{Identity: fmt.Sprint("p", i)}, deny(auth.SendCamera)); err != nil {
				t.Error(err)
			}
			b.Flush()
		})
	}
	<-s.began // the first is being written
	for s.committed() < commits+people {
		runtime.Gosched()
	}
	s.hold(false)
	s.settle(nil)
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.writes - writes; n > 3 {
		t.Errorf("%d updates took %d transactions", people, n)
	}
}
