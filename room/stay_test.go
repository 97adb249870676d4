package room_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

// When somebody is put out follows from its token and the room, as they are when it
// joins. Facts §1.7.
func TestStay(t *testing.T) {
	const never = 0
	for name, c := range map[string]struct {
		room room.DailySettings // times in it are seconds after the start, see below
		exp  int                // of the room
		stay auth.Stay
		tok  int // when the token expires
		want int // seconds after the join, which is 10 s after the start; never: it stays
	}{
		"§1.7.1 a token's exp gates the entry only":           {tok: 60, want: never},
		"§1.7.2 at the token's expiry":                        {tok: 60, stay: auth.Stay{AtExpiry: true}, want: 50},
		"§1.7.2 which there is not":                           {stay: auth.Stay{AtExpiry: true}, want: never},
		"§1.7.3 so long after it joined":                      {stay: auth.Stay{After: 30 * time.Second}, want: 30},
		"§1.7.4 the token over the room's time":               {stay: auth.Stay{After: time.Hour}, room: room.DailySettings{EjectAfter: time.Second}, want: 3600},
		"§1.7.4 the token's expiry over the room's":           {tok: 300, stay: auth.Stay{AtExpiry: true}, exp: 60, room: room.DailySettings{EjectAtExpiry: true}, want: 290},
		"§1.7.4 either of them over both of the room":         {tok: 300, stay: auth.Stay{AtExpiry: true}, exp: 60, room: room.DailySettings{EjectAtExpiry: true, EjectAfter: time.Second}, want: 290},
		"§1.7.4 also when the token has no expiry":            {stay: auth.Stay{AtExpiry: true}, room: room.DailySettings{EjectAfter: time.Second}, want: never},
		"§1.7.5 both of the token, its expiry first":          {tok: 20, stay: auth.Stay{AtExpiry: true, After: time.Minute}, want: 10},
		"§1.7.5 both of the token, the time first":            {tok: 120, stay: auth.Stay{AtExpiry: true, After: time.Minute}, want: 60},
		"the room's expiry":                                   {exp: 60, room: room.DailySettings{EjectAtExpiry: true}, want: 50},
		"the room's time":                                     {room: room.DailySettings{EjectAfter: 5 * time.Second}, want: 5},
		"both of the room, the time first":                    {exp: 60, room: room.DailySettings{EjectAtExpiry: true, EjectAfter: 5 * time.Second}, want: 5},
		"both of the room, its expiry first":                  {exp: 12, room: room.DailySettings{EjectAtExpiry: true, EjectAfter: 5 * time.Second}, want: 2},
		"§1.7.8 a room's expiry alone":                        {exp: 60, want: never},
		"a refreshed token that says never":                   {stay: auth.Stay{Fixed: true}, room: room.DailySettings{EjectAfter: 5 * time.Second}, want: never},
		"a room that never expires":                           {room: room.DailySettings{EjectAtExpiry: true}, want: never},
		"a token's time of nothing says nothing":              {stay: auth.Stay{After: 0}, room: room.DailySettings{EjectAfter: 5 * time.Second}, want: 5},
		"a room that says nothing, and a token that does not": {want: never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				watch := newWatcher()
				h := start(t, room.Config{Observer: watch})
				settings := c.room
				if c.exp > 0 {
					settings.Expires = began.Add(time.Duration(c.exp) * time.Second)
				}
				h.opens(settings)
				time.Sleep(10 * time.Second)
				joined := time.Now()
				g := caller("ada", stays(c.stay))
				if c.tok > 0 {
					g.Expires = began.Add(time.Duration(c.tok) * time.Second)
				}
				guest := h.comes(grant("guest")) // a LiveKit token: none of this concerns it
				ada := h.comes(g)
				self := last[*room.Snapshot](t, ada).Self
				if c.want == never {
					if !self.EjectAt.IsZero() {
						t.Errorf("it is to be put out at %v", self.EjectAt)
					}
					time.Sleep(24 * time.Hour)
					synctest.Wait()
					if cause := ada.ended(); cause != nil {
						t.Errorf("it ended with %d", *cause)
					}
				} else {
					at := joined.Add(time.Duration(c.want) * time.Second)
					if !self.EjectAt.Equal(at) {
						t.Errorf("it is to be put out at %v, want %v", self.EjectAt, at)
					}
					time.Sleep(time.Until(at) - time.Millisecond)
					synctest.Wait()
					if ada.ended() != nil {
						t.Error("it was put out too early")
					}
					time.Sleep(2 * time.Millisecond)
					synctest.Wait()
					expectEnd(t, ada, room.CauseTimeOver)
					if left := last[*room.ParticipantLeft](t, guest); left.SID != ada.p.SID || left.Reason != room.ParticipantRemoved {
						t.Errorf("the others were told %+v", left)
					}
				}
				if last[*room.Snapshot](t, guest).Self.EjectAt != (time.Time{}) || guest.ended() != nil {
					t.Error("a guest with another token is limited")
				}
				h.stop()
				watch.check(t)
			})
		})
	}
}

// Who is inside keeps the time that was fixed when it joined, whatever the room says
// later; who joins anew does not. §1.7.6, §1.9.
func TestStayIsFixedAtTheJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		h := start(t, room.Config{})
		h.opens(room.DailySettings{Expires: began.Add(time.Minute), EjectAtExpiry: true})
		h.comes(grant("keeper"))
		token := caller("ada")
		ada := h.comes(token)
		h.setDaily(func(s *room.DailySettings) { s.Expires, s.EjectAtExpiry = began.Add(time.Hour), false })
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		if ada.ended() != nil {
			t.Error("too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		expectEnd(t, ada, room.CauseTimeOver)
		// Its token is good, and starts anew.
		if back := h.comes(token); !last[*room.Snapshot](t, back).Self.EjectAt.IsZero() {
			t.Error("a rejoin does not go by what the room says now")
		}
	})
}

// A refreshed token keeps the first ejection time, however often it is refreshed; the
// original starts anew, as Daily's does. §1.7.3, §1.7.6.
func TestRefreshedTokensKeepTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := new(tokens)
		h := start(t, room.Config{Refresh: signer.sign, Grace: time.Minute})
		h.opens(room.DailySettings{EjectAfter: time.Second}) // the token's says more
		h.comes(grant("keeper"))
		original := caller("ada", stays(auth.Stay{After: 25 * time.Hour}))
		over := time.Now().Add(25 * time.Hour)
		ada := h.comes(original)
		token := original
		for range 24 * 12 { // every 5 min for 24 h, each time by the last one's token
			time.Sleep(5 * time.Minute)
			now := signer.newest(t, ada)
			if !now.EjectAt.Equal(over) {
				t.Fatalf("a token tells %v, want %v", now.EjectAt, over)
			}
			ada.leave()
			token = again(token, now)
			ada = h.comes(token)
			if got := last[*room.Snapshot](t, ada).Self.EjectAt; !got.Equal(over) {
				t.Fatalf("it is to be put out at %v, want %v", got, over)
			}
		}
		// A resume keeps it, too.
		joined := last[*room.Snapshot](t, ada)
		ada.p.Disconnected(ada.batch, 1, true)
		ada.batch.Flush()
		back, err := h.resume(joined, reliable(ada.since(0)))
		must(t, err)
		if got := last[*room.Snapshot](t, back).Self.EjectAt; !got.Equal(over) {
			t.Errorf("after the resume it is to be put out at %v", got)
		}
		time.Sleep(time.Until(over) - time.Millisecond)
		synctest.Wait()
		if back.ended() != nil {
			t.Error("too early")
		}
		final := again(token, signer.newest(t, back))
		time.Sleep(time.Millisecond)
		synctest.Wait()
		expectEnd(t, back, room.CauseTimeOver)
		if _, err := h.enter(final); !errors.Is(err, room.ErrTimeOver) {
			t.Errorf("with the refreshed token: %v", err)
		}
		if got := last[*room.Snapshot](t, h.comes(original)).Self.EjectAt; !got.Equal(time.Now().Add(25 * time.Hour)) {
			t.Errorf("the original does not start anew: %v", got)
		}
	})
}

// The time goes along when somebody is moved to another room, and holds there.
func TestMovedPeopleKeepTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true})
		h.opens(room.DailySettings{EjectAfter: time.Minute})
		h.join("eve", toRoom("stage"))
		h.join("keeper")
		ada := h.comes(caller("ada"))
		at := last[*room.Snapshot](t, ada).Self.EjectAt
		time.Sleep(30 * time.Second)
		must(t, h.move("ada", "hall", "stage"))
		if moved := last[*room.Moved](t, ada); !moved.Self.EjectAt.Equal(at) {
			t.Errorf("there it is to be put out at %v, want %v", moved.Self.EjectAt, at)
		}
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		expectEnd(t, ada, room.CauseTimeOver)
		h.expectIn("stage", "eve")
	})
}

// A call extends and shortens it, which everybody is told once, and its own page by
// one refreshed token. Tokens refreshed before that it was shortened do not bring the
// time back.
func TestLimitStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := new(tokens)
		watch := newWatcher()
		h := start(t, room.Config{AutoCreate: true, Refresh: signer.sign, Observer: watch})
		h.opens(room.DailySettings{EjectAfter: time.Hour})
		eve := h.join("eve")
		original := caller("ada")
		ada := h.comes(original)
		began := time.Now()
		before := again(original, signer.newest(t, ada))
		limit := func(who room.Target, at time.Time) {
			t.Helper()
			h.flushed(func(b *room.Batch) { must(t, h.room().LimitStay(b, who, at)) })
		}
		n, m := ada.count(), eve.count()
		limit(room.Target{Identity: "ada"}, began.Add(2*time.Hour))
		h.expect(ada, n, "ParticipantUpdated", "TokenRefreshed")
		h.expect(eve, m, "ParticipantUpdated")
		if ev := last[*room.ParticipantUpdated](t, eve); ev.Changed != room.ChangedStay || !ev.Participant.EjectAt.Equal(began.Add(2*time.Hour)) || ev.Seq == 0 {
			t.Errorf("the others were told %+v", ev)
		}
		if now := signer.newest(t, ada); !now.EjectAt.Equal(began.Add(2 * time.Hour)) {
			t.Errorf("the token tells %v", now.EjectAt)
		}
		m = eve.count()
		limit(room.Target{SID: ada.p.SID}, began.Add(2*time.Hour)) // says the same
		h.expect(eve, m)

		time.Sleep(time.Hour + time.Minute) // what was fixed first is over
		synctest.Wait()
		if ada.ended() != nil {
			t.Fatal("the extension does not hold")
		}
		before = again(before, signer.newest(t, ada)) // tells of two hours
		limit(room.Target{Identity: "ada"}, time.Now().Add(time.Minute))
		short := time.Now().Add(time.Minute)
		time.Sleep(time.Second)
		ada.leave()
		ada = h.comes(before)
		if got := last[*room.Snapshot](t, ada).Self.EjectAt; !got.Equal(short) {
			t.Errorf("by a token from before it may stay until %v, want %v", got, short)
		}
		limit(room.Target{Identity: "ada"}, time.Time{})
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if ada.ended() != nil {
			t.Error("it was put out though its time has no end")
		}
		limit(room.Target{Identity: "ada"}, time.Now().Add(-time.Hour))
		expectEnd(t, ada, room.CauseTimeOver)
		h.flushed(func(b *room.Batch) {
			if err := h.room().LimitStay(b, room.Target{Identity: "ada"}, time.Now()); !errors.Is(err, room.ErrNoParticipant) {
				t.Errorf("of nobody: %v", err)
			}
		})
		var told int
		for _, o := range watch.all {
			if o.Occasion == room.ParticipantChanged && o.Changed == room.ChangedStay {
				told++
			}
		}
		if told != 3 {
			t.Errorf("the observer was told of %d changes, want 3", told)
		}
	})
}

// A time that lies further ahead than a duration reaches is no limit, and nobody else's
// limit, grace period or token waits for it.
func TestAFarTimeHoldsUpNobody(t *testing.T) {
	endOf9999, millis := time.Unix(253402300799, 0), time.Unix(1_800_000_000_000, 0)
	atExpiry := stays(auth.Stay{AtExpiry: true})
	for name, c := range map[string]struct {
		far   *auth.Grant
		limit time.Time // by a call
		want  time.Time
	}{
		"a token of the year 9999":     {far: caller("far", atExpiry, expires(endOf9999)), want: endOf9999},
		"a token in milliseconds":      {far: caller("far", atExpiry, expires(millis)), want: millis},
		"a call with the year 9999":    {far: caller("far"), limit: endOf9999, want: endOf9999},
		"a call that means never ever": {far: caller("far"), limit: time.UnixMilli(1<<53 - 1), want: time.UnixMilli(1<<53 - 1)},
		"a refreshed token's":          {far: caller("far", stays(auth.Stay{Fixed: true, At: endOf9999})), want: endOf9999},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, room.Config{Grace: 30 * time.Second, Refresh: new(tokens).sign, RefreshInterval: time.Minute})
				defer h.stop()
				h.opens(room.DailySettings{})
				time.Sleep(time.Second)
				keeper := h.comes(caller("keeper"))
				far := h.comes(c.far)
				if !c.limit.IsZero() {
					h.flushed(func(b *room.Batch) { must(t, h.room().LimitStay(b, room.Target{Identity: "far"}, c.limit)) })
				}
				short := h.comes(caller("short", stays(auth.Stay{After: 5 * time.Second})))
				cut := h.comes(caller("cut"))
				cut.p.Disconnected(cut.batch, 1, true)
				cut.batch.Flush()
				n := keeper.count()
				time.Sleep(time.Hour)
				synctest.Wait()
				expectEnd(t, short, room.CauseTimeOver)
				h.expectIn("hall", "far", "keeper")
				renewed := 0
				for _, k := range kinds(keeper.since(n)) {
					if k == "TokenRefreshed" {
						renewed++
					}
				}
				if renewed < 60 {
					t.Errorf("in an hour %d tokens were refreshed, want one a minute", renewed)
				}
				info, err := h.room().Participant(room.Target{SID: far.p.SID})
				if must(t, err); !info.EjectAt.Equal(c.want) {
					t.Errorf("it is to be put out at %v, want %v", info.EjectAt, c.want)
				}
			})
		})
	}
}

// What was said of a session holds for whoever comes by a token from before, also one of
// some sessions before. Of those it only shortens the time, and in that room alone.
func TestLimitStayReachesEarlierTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{})
		defer h.stop()
		h.opens(room.DailySettings{})
		h.open("lab", room.DailySettings{})
		h.comes(caller("keeper"))
		original := caller("ada", stays(auth.Stay{After: time.Hour}))
		over := time.Now().Add(time.Hour)
		elsewhere := *original
		elsewhere.Room = "lab"
		lab := again(&elsewhere, auth.Current{Session: h.comes(&elsewhere).p.SID, EjectAt: over})
		// Three sessions, each by the token of the one before.
		token, ada := original, h.comes(original)
		var from []*auth.Grant
		for range 3 {
			token = again(token, auth.Current{Session: ada.p.SID, EjectAt: over})
			from = append(from, token)
			ada.leave()
			ada = h.comes(token)
		}
		limit := func(at time.Time) {
			t.Helper()
			h.flushed(func(b *room.Batch) { must(t, h.room().LimitStay(b, room.Target{SID: ada.p.SID}, at)) })
		}
		until := func(g *auth.Grant) time.Time {
			t.Helper()
			m := h.comes(g)
			defer m.leaveIf()
			return last[*room.Snapshot](t, m).Self.EjectAt
		}
		short := time.Now().Add(time.Minute)
		limit(short)
		for i, g := range from {
			if got := until(g); !got.Equal(short) {
				t.Errorf("by the token of session %d it may stay until %v, want %v", i+1, got, short)
			}
		}
		if got := until(lab); !got.Equal(over) {
			t.Errorf("in another room it may stay until %v, want %v", got, over)
		}
		if got := until(original); !got.Equal(over) {
			t.Errorf("by the application's token it may stay until %v, want %v", got, over)
		}
		time.Sleep(2 * time.Second)
		if got := until(again(from[0], auth.Current{Session: ada.p.SID, EjectAt: over})); !got.Equal(over) {
			t.Errorf("by a token from after that it may stay until %v, want %v", got, over)
		}
		limit(time.Time{})
		for i, want := range []time.Time{over, over, {}} { // the last is what ada came by
			if got := until(from[i]); !got.Equal(want) {
				t.Errorf("without a limit, by the token of session %d it may stay until %v, want %v", i+1, got, want)
			}
		}
	})
}

// Extending at the very moment at which the time is over either comes first, and
// holds, or finds nobody.
func TestLimitStayAgainstTheTimer(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			h := start(t, room.Config{AutoCreate: true})
			h.opens(room.DailySettings{EjectAfter: time.Minute})
			h.join("keeper")
			ada := h.comes(caller("ada"))
			at := last[*room.Snapshot](t, ada).Self.EjectAt
			r := h.room()
			var done sync.WaitGroup
			var extended bool
			done.Go(func() {
				time.Sleep(time.Until(at) - time.Duration(rand.IntN(2)))
				h.flushed(func(b *room.Batch) {
					extended = r.LimitStay(b, room.Target{Identity: "ada"}, at.Add(time.Minute)) == nil
				})
			})
			done.Wait()
			synctest.Wait()
			if ended := ada.ended() != nil; ended == extended {
				t.Errorf("extended: %t, ended: %t", extended, ended)
			}
			time.Sleep(time.Minute + time.Millisecond)
			synctest.Wait()
			expectEnd(t, ada, room.CauseTimeOver)
		})
	}
}

// Everybody who has a token gets another within the interval, those who joined at one
// moment not at one moment; who is away gets none, and who waits.
func TestRefreshInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true, Refresh: new(tokens).sign, RefreshInterval: time.Minute, Grace: time.Hour})
		h.opens(private)
		ada, away, waits, nobody := h.comes(caller("ada")), h.join("away"), h.waits(caller("waits", knocks)), h.waits(stranger())
		h.answer(true, nobody)
		away.p.Disconnected(away.batch, 1, true)
		away.batch.Flush()
		got := func(m *member) (n int) {
			for _, k := range kinds(m.since(0)) {
				if k == "TokenRefreshed" {
					n++
				}
			}
			return n
		}
		time.Sleep(54 * time.Second)
		synctest.Wait()
		if n := got(ada); n != 1 {
			t.Errorf("too early it has %d tokens", n)
		}
		time.Sleep(10*time.Minute - 54*time.Second)
		synctest.Wait()
		if n := got(ada); n < 11 || n > 13 {
			t.Errorf("in ten minutes it got %d tokens", n)
		}
		if got(away) != 1 || got(waits) != 0 || got(nobody) != 0 {
			t.Errorf("tokens: who is away %d, who waits %d, nobody's %d", got(away), got(waits), got(nobody))
		}
		many := make([]*member, 100)
		for i := range many {
			many[i] = h.join("m" + string(rune('a'+i)))
		}
		time.Sleep(57 * time.Second)
		synctest.Wait()
		n := 0
		for _, m := range many {
			n += got(m) - 1
		}
		if n == 0 || n == len(many) {
			t.Errorf("%d of %d were refreshed by the middle of the spread", n, len(many))
		}
	})
}
