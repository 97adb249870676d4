package demo_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

var (
	knocking = room.DailySettings{Private: true, Knocking: true}
	owner    = sessiontest.Properties{"is_owner": true}
)

// visit opens the page of a room without a token.
func (s *site) visit(room, fragment string) *tab {
	s.t.Helper()
	return &tab{browsertest.Fresh(s.t, s.URL+"/"+room+fragment, expected), s.t}
}

// waiting is a button beside somebody who waits.
func waiting(name, action string) string {
	return fmt.Sprintf(`#waiting button[aria-label=%q]`, action+": "+name)
}

// A visitor without a token waits outside, may say another name, and is let in by a
// host, who has heard of it; another is sent away.
func TestLobby(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", knocking)
	ada := s.open("call", s.DailyToken("call", "ada", owner))
	ada.sees("status", "Connected")
	ada.Until("document.querySelector('[data-identity=ada] .chips').textContent.includes('owner')")

	bob := s.visit("call", "")
	bob.Until("document.activeElement.id === 'name'")
	bob.Do(chromedp.SendKeys("#name", "Guest\r"))
	bob.sees("status", "Waiting")
	bob.Until("document.getElementById('lobby').checkVisibility() && !document.getElementById('inside').checkVisibility() && !document.getElementById('door').checkVisibility()")
	bob.Until("document.activeElement.id === 'lobby-title' && document.getElementById('own-name').value === 'Guest'")
	if got := bob.Eval("document.getElementById('lobby').textContent"); got == "" || bob.Eval("String(document.body.innerText.includes('ada'))") != "false" {
		t.Errorf("outside one reads %s", got)
	}
	ada.sees("word", "Guest waits to be let in.")
	ada.Until("document.getElementById('word').role === 'status' && document.getElementById('waiting-all').hidden")
	ada.Until("document.querySelector(" + browsertest.Quote(waiting("Guest", "Admit")) + ")?.checkVisibility()")

	bob.Eval("document.getElementById('own-name').value = '<b>Bob</b>', document.querySelector('#rename button').click(), ''")
	bob.sees("lobby-word", "The hosts see you as <b>Bob</b>.")
	ada.sees("waiting", "<b>Bob</b>")

	// By keyboard alone.
	ada.Until("document.querySelector(" + browsertest.Quote(waiting("<b>Bob</b>", "Admit")) + ")?.checkVisibility()")
	ada.Eval("document.querySelector(" + browsertest.Quote(waiting("<b>Bob</b>", "Admit")) + ").focus(), ''")
	ada.Key(kb.Enter)
	bob.sees("status", "Connected")
	bob.sees("people", "ada")
	bob.Until("!document.getElementById('lobby').checkVisibility() && document.getElementById('inside').checkVisibility()")
	ada.sees("people-word", "Admitting <b>Bob</b>: done.")
	ada.Until("document.activeElement.id === 'people-title' && document.getElementById('outside').hidden")
	bob.says("hello from outside")
	ada.sees("messages", "hello from outside")

	eve := s.visit("call", "#name=Eve")
	ada.sees("waiting", "Eve")
	ada.click(waiting("Eve", "Deny"))
	eve.sees("notice", "You were not let in")
	eve.Until("document.getElementById('again').checkVisibility() && !document.getElementById('lobby').checkVisibility()")
	eve.click("#again")
	eve.sees("status", "Waiting")
	ada.sees("waiting", "Eve")

	// All of them at once; and whoever goes is gone from the list, with the keyboard's place.
	joe := s.visit("call", "#name=Joe")
	ada.sees("waiting", "Joe")
	ada.Until("document.getElementById('waiting-all').checkVisibility()")
	ada.Eval("document.querySelector(" + browsertest.Quote(waiting("Joe", "Deny")) + ").focus(), ''")
	joe.click("#leave")
	joe.sees("notice", "You left")
	ada.Until("document.activeElement.matches(" + browsertest.Quote(waiting("Eve", "Admit")) + ")")
	joe.click("#again")
	ada.sees("waiting", "Joe")
	ada.click("#admit-all")
	for _, p := range []*tab{eve, joe} {
		p.sees("status", "Connected")
	}
	ada.Until("document.getElementById('waiting').childElementCount === 0")
}

// A room that lets everybody in needs no token, but a name. Where a token is needed
// the page says so, and asks for it.
func TestWithoutAToken(t *testing.T) {
	s := serve(t)
	s.DailyRoom("open", room.DailySettings{})
	s.DailyRoom("closed", room.DailySettings{Private: true})
	ada := s.open("open", s.DailyToken("open", "ada"))
	ada.sees("status", "Connected")
	s.Join(s.Token("lobby", "ada"))

	bob := s.visit("open", "")
	bob.Until("document.activeElement.id === 'name' && document.getElementById('door').checkVisibility()")
	bob.Do(chromedp.SendKeys("#name", "  \r")) // that is no name
	bob.Until("document.getElementById('status').textContent === 'Not connected' && document.getElementById('notice').hidden")
	bob.Do(chromedp.SendKeys("#name", "Bob\r"))
	bob.sees("status", "Connected")
	bob.sees("people", "Bob")
	bob.sees("claims", "You came without a token.")
	bob.sees("permissions", "room or domain: you came without a token")
	ada.sees("events", "Bob joined.")
	if got := ada.Eval("document.getElementById('events').textContent"); strings.Contains(got, "Guest") {
		t.Errorf("somebody came before they had a name: %s", got)
	}

	for _, room := range []string{"lobby", "closed"} {
		eve := s.visit(room, "#name=Eve") // who says a name there means it
		eve.sees("notice", "You may not come in like this")
		eve.Until("document.getElementById('door').checkVisibility() && document.activeElement.id === 'token'")
	}
	s.visit("nowhere", "#name=Eve").sees("notice", "There is no such room")
	s.visit("", "").Until("document.activeElement.id === 'token' && document.getElementById('enter').hidden")
}

// A link as Daily's pages have it brings the token in ?t=, which is taken out of the
// address at once; the rest of the address stays.
func TestDailyLink(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true})
	token := s.DailyToken("call", "ada")
	ada := s.visit("call", "?t="+token+"&lang=en#x=1")
	ada.sees("status", "Connected")
	if got := ada.Eval("location.pathname + location.search + location.hash + ' ' + history.length"); got != "/call?lang=en#x=1 "+ada.Eval("String(history.length)") {
		t.Errorf("the address is %s", got)
	}
	ada.click("#leave")
	ada.sees("notice", "You left")
	// Pasted, it does as well.
	bob := s.visit("call", "")
	bob.Until("document.activeElement.id === 'name'")
	bob.Do(chromedp.SendKeys("#token", "https://acme.daily.co/call?t="+s.DailyToken("call", "bob")), chromedp.Click("#join button"))
	bob.sees("status", "Connected")
}

// The panel reads Daily's tokens: who it is for, and whether it, its owner flag or
// nothing of it decides what one may do.
func TestDailyTokenPanel(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{})
	why := func(p *tab, permission, want string) {
		t.Helper()
		p.Until("document.querySelector('#permissions [data-permission=" + permission + "] .why-so')?.textContent.startsWith(" + browsertest.Quote(want) + ")")
	}
	ada := s.open("call", s.DailyToken("call", "ada", owner, sessiontest.Properties{"user_name": "Ada L"}))
	for _, text := range []string{"ada", "Ada L", "call", "Owner"} {
		ada.sees("claims", text)
	}
	why(ada, "canPublish", "owner: the token makes you one")
	bob := s.open("call", s.DailyToken("call", "bob", sessiontest.Properties{"permissions": map[string]any{"canSend": []string{"audio"}}}))
	bob.sees("permissions", "Be on stage: microphone")
	why(bob, "canPublish", "token: as it was signed")
	why(bob, "canSubscribe", "room or domain: the token says nothing of it")
	why(bob, "canPublishData", "token: every Daily token allows it")
	ada.press("bob", "demote")
	why(bob, "canPublish", "live: an administrator changed it at")
}

// With a crowd outside a host answers all at once, without looking for the buttons;
// hears of the crowd once; and whoever has no name has a word.
func TestCrowd(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", knocking)
	ada := s.open("call", s.DailyToken("call", "ada", owner))
	ada.sees("status", "Connected")
	ada.Eval("window.said = [], new MutationObserver(() => said.push(document.getElementById('word').textContent)).observe(document.getElementById('word'), { childList: true }), ''")
	knock := func(n int) {
		t.Helper()
		for i := range n {
			hello := wire.Message{Room: "call", Name: new(fmt.Sprintf("Guest number %d", i+1))}
			if i == 1 {
				hello.Name = nil
			}
			if _, told := s.JoinAs(hello); told.Type() != "waiting" {
				t.Fatalf("got %s", told.Text)
			}
		}
	}
	knock(6)
	ada.Until("document.getElementById('waiting').childElementCount === 6")
	ada.sees("waiting-title", "(6)")
	ada.Until("/^6 people wait to be let in|more people wait to be let in, 6 in all|waits to be let in/.test(document.getElementById('word').textContent)")
	if n := ada.Eval("String(said.length)"); n > "2" {
		t.Errorf("six who knock are told of %s times", n)
	}
	ada.Until("document.querySelector('#waiting li:nth-child(2) .name').textContent === 'Guest'")
	album := browsertest.Album(t)
	for _, screen := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1200, 900}, {"phone", 390, 844}} {
		ada.Window(screen.width, screen.height)
		ada.Eval("document.getElementById('people').scrollIntoView({ block: 'nearest' }), ''")
		for _, id := range []string{"admit-all", "deny-all"} {
			ada.Until("(() => { const b = document.getElementById('" + id + "').getBoundingClientRect(), c = document.getElementById('people').getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight && b.bottom <= c.bottom && b.width > 0; })()")
		}
		ada.Shot(album("demo-lobby-"+screen.name+".png"), false)
	}
	ada.click("#deny-all")
	ada.Until("document.getElementById('waiting').childElementCount === 0 && document.getElementById('outside').hidden && document.activeElement.id === 'people-title'")
	ada.sees("people-word", "Sending all of them away: done.")
	ada.sees("events", "people do not wait any more.")
	knock(3)
	ada.Until("document.getElementById('waiting').childElementCount === 3")
	ada.click("#admit-all")
	ada.sees("events", "people were let in.")
}

// Whoever has a limited time sees how much is left, hears of the end of it, and of
// another limit.
func TestTimeLeft(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{})
	ada := s.open("call", s.DailyToken("call", "ada", sessiontest.Properties{"eject_after_elapsed": 3000}))
	bob := s.open("call", s.DailyToken("call", "bob"))
	ada.sees("time-left", "You have 49 min")
	bob.sees("status", "Connected")
	bob.Until("document.getElementById('time-left').hidden")
	kit, joined := s.Join(s.Token("call", "kit"))
	kit.Sync()
	sid := ""
	for _, p := range joined.Get("participants").([]any) {
		if p := p.(map[string]any); p["identity"] == "ada" {
			sid = p["sid"].(string)
		}
	}
	s.limits(sid, 4*60)
	ada.sees("time-left", "You have 3 min")
	ada.sees("word", "left here.")
	bob.sees("events", "may stay until")
	s.limits(sid, 0)
	ada.Until("document.getElementById('time-left').hidden")
	ada.sees("word", "You may stay for as long as the room is open.")
	s.limits(sid, 1)
	ada.sees("notice", "Your time is over")
	kit.ExpectWhere("that ada is gone", func(e sessiontest.Event) bool { return e.Type() == "participantLeft" && e.Str("sid") == sid })
	kit.Send(wire.Message{Type: "leave"})
}

// limits has somebody stay for so many seconds more; 0: for ever.
func (s *site) limits(sid string, seconds int) {
	s.t.Helper()
	r, _ := s.Rooms.Lookup("test", "call")
	var at time.Time
	if seconds > 0 {
		at = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	b := s.Rooms.Batch()
	if err := r.LimitStay(b, room.Target{SID: sid}, at); err != nil {
		s.t.Fatal(err)
	}
	b.Flush()
}

// The page where one waits, and the list of those who wait, can be used everywhere.
func TestLobbyIsUsable(t *testing.T) {
	s := serve(t)
	for name, screen := range screens {
		room := "call-" + name
		s.DailyRoom(room, knocking)
		bob := s.visit(room, "#name=Bob%20with%20quite%20a%20long%20name,%20as%20some%20people%20have")
		screen.show(bob)
		bob.sees("status", "Waiting")
		bob.usable(name+", waiting", screen.least)
		s.JoinAs(wire.Message{Room: room, Name: new("Another with a long name")})
		ada := s.open(room, s.DailyToken(room, "ada", owner, sessiontest.Properties{"eject_after_elapsed": 90}))
		screen.show(ada)
		ada.sees("waiting", "Another")
		ada.sees("time-left", "left here")
		ada.usable(name+", with a lobby", screen.least)
	}
}
