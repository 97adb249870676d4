package demo_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"usher/session/wire"
	"usher/web/browsertest"
)

// On a phone nothing is cut off, and the first screen shows the stage and what
// one can do.
func TestPhone(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", named("Ada with quite a long name, as some people have")), chromedp.EmulateViewport(360, 640))
	check := func(when string) {
		t.Helper()
		for _, line := range ada.CutOff(".reaction") {
			t.Errorf("%s: %s", when, line)
		}
	}
	ada.sees("status", "Connected")
	for _, id := range []string{"tiles", "turn-camera", "reactions"} {
		ada.Until(fmt.Sprintf("document.getElementById(%q).getBoundingClientRect().bottom <= 640", id))
	}
	check("inside")
	mod, _ := s.Join(s.Token("lobby", "moderator-with-an-identity-that-does-not-break-anywhere", host))
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "ada", Permission: &wire.Permission{CanSubscribe: true}})
	ada.Until("document.querySelectorAll('#permissions .yes').length === 1")
	ada.says("hello?")
	ada.sees("refusal", "canPublishData")
	check("refused")
	ada.Eval("document.querySelector('#token-title + .two summary').click(), ''")
	check("with all claims")
	ada.click("#leave")
	ada.Until("!document.getElementById('notice').hidden")
	check("outside")
	eve := s.open("", "", chromedp.EmulateViewport(360, 640))
	eve.Until("document.getElementById('door').checkVisibility()")
	ada = eve
	check("at the door")
	ada = s.open("lobby", s.Token("lobby", "cleo", host), chromedp.EmulateViewport(360, 640))
	ada.Until("document.querySelectorAll('[data-action=more]').length === 1")
	ada.Eval("document.querySelector('.controls-of summary').click(), document.querySelector('.why summary').click(), ''")
	ada.Until("document.querySelector('[data-right]')")
	check("as host")
}

// Whoever wants less motion gets reactions that stand still, and go.
func TestReducedMotion(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.open("lobby", s.Token("lobby", "ada"))
	ada.sees("people", "bob")
	ada.Prefer("prefers-reduced-motion", "reduce")
	ada.Eval(`new MutationObserver(() => {
		const mark = document.querySelector(".reaction");
		if (mark) document.body.dataset.motion = getComputedStyle(mark).animationName;
	}).observe(document.body, { subtree: true, childList: true }), ""`)
	bob.OK(wire.Message{Type: "publishData", Topic: "reaction", Payload: []byte(`"🎉"`)})
	ada.Until("document.body.dataset.motion === 'stay'")
	ada.Until("!document.querySelector('.reaction')")
}

// portrait stands for somebody's camera where a picture is to be looked at.
const portrait = `(() => {
	const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
	const pen = canvas.getContext("2d");
	const draw = () => {
		const t = performance.now() / 1000, sway = Math.sin(t) * 4;
		const back = pen.createLinearGradient(0, 0, 640, 360);
		back.addColorStop(0, "hsl(%[1]d 45%% 72%%)");
		back.addColorStop(1, "hsl(%[1]d 40%% 38%%)");
		pen.fillStyle = back;
		pen.fillRect(0, 0, 640, 360);
		pen.fillStyle = "hsl(%[1]d 30%% 88%% / 0.35)";
		pen.fillRect(60, 40, 130, 170);
		pen.fillStyle = "hsl(%[2]d 45%% 40%%)";
		pen.beginPath();
		pen.ellipse(320 + sway, 400, 150, 150, 0, 0, 7);
		pen.fill();
		pen.fillStyle = "hsl(26 50%% %[3]d%%)";
		pen.fillRect(295 + sway, 215, 50, 60);
		pen.beginPath();
		pen.ellipse(320 + sway, 165, 66, 82, 0, 0, 7);
		pen.fill();
		pen.fillStyle = "hsl(%[4]d 30%% 20%%)";
		pen.beginPath();
		pen.ellipse(320 + sway, 118, 74, 52, 0, Math.PI, 0);
		pen.fill();
		for (const x of [-24, 24]) {
			pen.beginPath();
			pen.ellipse(320 + sway + x, 165, 6, 7, 0, 0, 7);
			pen.fill();
		}
		pen.lineWidth = 5;
		pen.lineCap = "round";
		pen.strokeStyle = "hsl(8 50%% 32%%)";
		pen.beginPath();
		pen.arc(320 + sway, 190, 24, 0.5, Math.PI - 0.5);
		pen.stroke();
		setTimeout(draw, 60);
	};
	draw();
	const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
	navigator.mediaDevices.getUserMedia = (wish) => (wish.video ? Promise.resolve(canvas.captureStream(15)) : real(wish));
	return "";
})()`

// Pictures of the page, for people to look at, in the folder USHER_SCREENSHOTS
// when that is set.
func TestScreenshots(t *testing.T) {
	file := browsertest.Album(t)
	s := serve(t)
	wide := chromedp.EmulateViewport(1280, 800)
	phone := chromedp.EmulateViewport(360, 740)
	ada := s.open("town-hall", s.Token("town-hall", "ada", host, named("Ada")), wide)
	ada.sees("status", "Connected")
	bob := s.open("town-hall", s.Token("town-hall", "bob", named("Bob")), wide)
	cleo := s.open("town-hall", s.Token("town-hall", "cleo", viewer, named("Cleo")), phone)
	dan := s.open("town-hall", s.Token("town-hall", "dan", viewer, named("Dan")), phone)
	for _, who := range []struct {
		p                       *tab
		back, coat, skin, hairs int
	}{{ada, 215, 260, 72, 20}, {bob, 160, 20, 52, 30}, {cleo, 30, 190, 42, 0}} {
		who.p.sees("status", "Connected")
		who.p.Eval(fmt.Sprintf(portrait, who.back, who.coat, who.skin, who.hairs))
	}
	for _, p := range []*tab{ada, bob} {
		p.click("#turn-microphone")
		p.Until("document.getElementById('turn-microphone').ariaPressed === 'true' && document.getElementById('turn-microphone').ariaBusy === 'false'")
		p.click("#turn-camera")
		p.Until("document.getElementById('turn-camera').ariaPressed === 'true' && document.getElementById('turn-camera').ariaBusy === 'false'")
	}
	ada.says("Welcome, everybody! Raise your hand if you have a question.")
	dan.says("Good evening from Lisbon")
	bob.says("Slides are in the second half.")
	ada.sees("messages", "second half")
	cleo.click("#turn-hand")
	ada.sees("word", "Cleo raised a hand")
	ada.press("cleo", "promote")
	ada.moves("cleo", "camera")
	ada.moves("bob", "camera")
	dan.click("#turn-hand")
	ada.sees("word", "Dan raised a hand")
	dan.click(`[data-reaction="Star"]`)
	dan.moves("bob", "camera")
	for _, look := range []string{"light", "dark"} {
		for _, p := range []*tab{ada, dan} {
			p.Prefer("prefers-color-scheme", look)
			p.Eval("document.getElementById('stage-title').focus({ preventScroll: true }), document.activeElement.blur(), scrollTo(0, 0), document.querySelector('.people .scroll').scrollTop = 0, ''")
		}
		ada.Shot(file("demo-desktop-"+look+".png"), false)
		ada.Shot(file("demo-desktop-whole-"+look+".png"), true)
		dan.Shot(file("demo-phone-"+look+".png"), false)
		dan.Shot(file("demo-phone-whole-"+look+".png"), true)
	}
	ada.press("dan", "why")
	ada.Until("document.querySelector('[data-identity=dan] [data-right]')")
	ada.Shot(file("demo-desktop-manage.png"), false)
	ada.press("dan", "remove")
	ada.press("dan", "remove")
	ada.Shot(file("demo-desktop-removed.png"), false)
	dan.sees("notice", "You were removed")
	dan.Shot(file("demo-phone-removed.png"), false)
	cleo.Prefer("prefers-color-scheme", "dark")
	cleo.Eval("location.hash = 'token=x'")
	cleo.sees("other", "Join with this token?")
	cleo.Shot(file("demo-phone-other-token.png"), false)
	ada.Window(360, 740)
	ada.press("bob", "remove")
	ada.Shot(file("demo-phone-host.png"), true)
	eve := s.open("", "", wide)
	eve.Until("document.getElementById('door').checkVisibility()")
	eve.Shot(file("demo-door.png"), false)
}
