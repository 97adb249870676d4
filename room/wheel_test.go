package room

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A stand is people in a room of their own, each with one alarm.
type stand struct {
	rooms *Rooms
	mu    sync.Mutex
	fired map[*Participant][]time.Time
}

func newStand(t *testing.T) *stand {
	rooms, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &stand{rooms: rooms, fired: make(map[*Participant][]time.Time)}
}

func (s *stand) alarm() *alarm {
	p := &Participant{rooms: s.rooms, room: &Room{rooms: s.rooms}}
	return &alarm{p: p, do: func(_ *Batch, p *Participant) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fired[p] = append(s.fired[p], time.Now())
	}}
}

func (s *stand) set(a *alarm, at time.Time) {
	a.p.room.mu.Lock()
	defer a.p.room.mu.Unlock()
	s.rooms.wheel.set(a, at)
}

func (s *stand) stop(a *alarm) {
	a.p.room.mu.Lock()
	defer a.p.room.mu.Unlock()
	s.rooms.wheel.stop(a)
}

// check verifies the heap.
func (w *wheel) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, a := range w.alarms {
		if a.place != i+1 {
			t.Fatalf("the alarm at %d says it is at %d", i+1, a.place)
		}
		if i > 0 && w.alarms[(i+1)/2-1].due > a.due {
			t.Fatalf("the alarm at %d is due after one below it", (i+1)/2)
		}
	}
}

// Each alarm goes off at the moment for which it was set last, once, and not when it
// was stopped.
func TestWheel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		defer s.rooms.Close()
		w := &s.rooms.wheel
		alarms := make([]*alarm, 300)
		want := make(map[*alarm][]time.Time)
		next := make(map[*alarm]time.Time)
		for i := range alarms {
			alarms[i] = s.alarm()
		}
		due := func() { // what has gone off by now
			for a, at := range next {
				if !at.After(time.Now()) {
					want[a] = append(want[a], at)
					delete(next, a)
				}
			}
		}
		for range 20_000 {
			a := alarms[rnd.IntN(len(alarms))]
			switch rnd.IntN(4) {
			case 0, 1:
				at := time.Now().Add(time.Duration(1 + rnd.Int64N(int64(time.Minute))))
				switch rnd.IntN(10) {
				case 0:
					at = endOf9999
				case 1, 2, 3, 4, 5:
					at = at.Round(0) // the wall's
				}
				s.set(a, at)
				next[a] = at
			case 2:
				s.stop(a)
				delete(next, a)
			case 3:
				time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
				synctest.Wait()
				due()
				w.check(t)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		due()
		for a := range next { // of the year 9999
			s.stop(a)
		}
		if n := len(w.alarms); n != 0 {
			t.Errorf("%d alarms are left", n)
		}
		for _, a := range alarms {
			if !slices.EqualFunc(s.fired[a.p], want[a], time.Time.Equal) {
				t.Fatalf("an alarm went off at %v, want %v", s.fired[a.p], want[a])
			}
		}
	})
}

// endOf9999 is further away than any duration reaches.
var endOf9999 = time.Unix(253402300799, 0)

// An alarm for a time that is further away than durations reach holds up no other, and
// one for years ahead goes off at its moment, however long the process has run.
func TestWheelReachesFar(t *testing.T) {
	for name, age := range map[string]time.Duration{"a new process": 0, "one of a century": 100 * farthest} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				defer s.rooms.Close()
				time.Sleep(time.Second)
				began := time.Now()
				s.rooms.wheel.began = began.Add(-time.Second - age)
				var far []*alarm
				for _, at := range []time.Time{endOf9999, time.Unix(1e12, 0), time.Unix(1<<53, 0), began.Add(math.MaxInt64)} {
					a := s.alarm()
					s.set(a, at)
					far = append(far, a)
				}
				decade := s.alarm()
				s.set(decade, began.Add(10*farthest+time.Hour))
				gone := s.alarm()
				s.set(gone, time.Unix(-1<<53, 0)) // at once
				for range 12 {
					near := s.alarm()
					at := time.Now().Add(time.Minute)
					s.set(near, at)
					time.Sleep(farthest)
					synctest.Wait()
					s.rooms.wheel.check(t)
					if got := s.fired[near.p]; len(got) != 1 || !got[0].Equal(at) {
						t.Fatalf("an alarm went off at %v, want %v", got, at)
					}
				}
				if got := s.fired[decade.p]; len(got) != 1 || !got[0].Equal(began.Add(10*farthest+time.Hour)) {
					t.Errorf("an alarm for ten years ahead went off at %v, from %v on", got, began)
				}
				if got := s.fired[gone.p]; len(got) != 1 || !got[0].Equal(began) {
					t.Errorf("an alarm for the past went off at %v, from %v on", got, began)
				}
				for _, a := range far {
					if got := s.fired[a.p]; len(got) != 0 || a.place == 0 {
						t.Errorf("an alarm for %v went off at %v", a.at, got)
					}
				}
			})
		})
	}
}

// Setting and stopping while they go off neither loses one nor has one go off twice.
func TestWheelConcurrent(t *testing.T) {
	s := newStand(t)
	defer s.rooms.Close()
	var work sync.WaitGroup
	last := make([]time.Time, 8*64)
	alarms := make([]*alarm, len(last))
	for i := range alarms {
		alarms[i] = s.alarm()
	}
	for part := range 8 {
		work.Go(func() {
			for range 300 {
				for i := part * 64; i < (part+1)*64; i++ {
					switch rand.IntN(3) {
					case 0:
						s.stop(alarms[i])
						last[i] = time.Time{}
					default:
						last[i] = time.Now().Add(time.Duration(rand.IntN(int(5 * time.Millisecond))))
						s.set(alarms[i], last[i])
					}
				}
			}
		})
	}
	work.Wait()
	var end time.Time
	for _, at := range last {
		end = later(end, at)
	}
	done := make(chan struct{})
	final := s.alarm()
	final.do = func(*Batch, *Participant) { close(done) }
	s.set(final, end.Add(time.Millisecond))
	<-done // whatever is due is before it
	s.rooms.wheel.check(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range alarms {
		fired := s.fired[a.p]
		if at := last[i]; !at.IsZero() && (len(fired) == 0 || fired[len(fired)-1].Before(at)) {
			t.Errorf("an alarm set for %v went off at %v", at, fired)
		}
	}
}

// Closing waits for what goes off, and nothing does afterwards.
func TestWheelCloses(t *testing.T) {
	for range 20 {
		s := newStand(t)
		for i := range 200 {
			s.set(s.alarm(), time.Now().Add(time.Duration(i)*50*time.Microsecond))
		}
		first := s.alarm()
		began := make(chan struct{})
		first.do = func(*Batch, *Participant) { close(began) }
		s.set(first, time.Now())
		<-began
		s.rooms.wheel.close()
		s.mu.Lock()
		n := len(s.fired)
		s.mu.Unlock()
		s.set(s.alarm(), time.Now())
		s.rooms.Close()
		if s.mu.Lock(); len(s.fired) != n {
			t.Error("an alarm went off after the end")
		}
		s.mu.Unlock()
	}
}

// A crowd whose time is over at one moment costs one goroutine.
func BenchmarkWheel(b *testing.B) {
	rooms, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer rooms.Close()
	alarms := make([]*alarm, 10_000)
	at := time.Now().Add(time.Hour)
	for i := range alarms {
		alarms[i] = &alarm{p: &Participant{rooms: rooms, room: &Room{rooms: rooms}}}
		rooms.wheel.set(alarms[i], at.Add(time.Duration(rand.IntN(int(time.Hour)))))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		rooms.wheel.set(alarms[i%len(alarms)], at.Add(time.Duration(i*7919%int(time.Hour))))
	}
}
