package demo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"usher/session/wire"
)

// scheme has the page prefer light or dark.
func (p *tab) scheme(name string, more ...*emulation.MediaFeature) {
	p.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: append(more, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: name})}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, params); err != nil {
		p.t.Fatal(err)
	}
}

// cutOff lists what is wider than the window, or than what it is in.
const cutOff = `(() => {
	const wide = innerWidth, list = [];
	if (document.documentElement.scrollWidth > wide) list.push("the page scrolls sideways: " + document.documentElement.scrollWidth);
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility() || e.closest(".unseen, .reaction, svg")) continue;
		const box = e.getBoundingClientRect();
		if (box.width && (box.right > wide + 1 || box.left < -1)) list.push(e.localName + "#" + e.id + "." + e.className + " ends at " + box.right);
		const cuts = getComputedStyle(e).overflowX !== "visible" && !e.matches(".tile");
		if (cuts && e.scrollWidth > e.clientWidth + 1) list.push(e.localName + "#" + e.id + " is cut off");
	}
	const text = document.getElementById("text"), style = getComputedStyle(text), pen = document.createElement("canvas").getContext("2d");
	pen.font = style.font;
	const room = text.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight), needed = pen.measureText(text.placeholder).width;
	if (text.checkVisibility() && needed > room) list.push(text.placeholder + ": " + needed + " px, but there are " + room);
	return list.join("\n");
})()`

// On a phone nothing is cut off, and the first screen shows the stage and what
// one can do.
func TestPhone(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", named("Ada with quite a long name, as some people have")), chromedp.EmulateViewport(360, 640))
	check := func(when string) {
		t.Helper()
		if got := ada.eval(cutOff); got != "" {
			t.Errorf("%s: %s", when, got)
		}
	}
	ada.sees("status", "Connected")
	for _, id := range []string{"tiles", "turn-camera", "reactions"} {
		ada.until(fmt.Sprintf("document.getElementById(%q).getBoundingClientRect().bottom <= 640", id))
	}
	check("inside")
	mod, _ := s.Join(s.Token("lobby", "moderator-with-an-identity-that-does-not-break-anywhere", host))
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "ada", Permission: &wire.Permission{CanSubscribe: true}})
	ada.until("document.querySelectorAll('#permissions .yes').length === 1")
	ada.says("hello?")
	ada.sees("refusal", "canPublishData")
	check("refused")
	ada.eval("document.querySelector('#token-title + .two summary').click(), ''")
	check("with all claims")
	ada.click("#leave")
	ada.until("!document.getElementById('notice').hidden")
	check("outside")
	eve := s.open("", "", chromedp.EmulateViewport(360, 640))
	eve.until("document.getElementById('door').checkVisibility()")
	ada = eve
	check("at the door")
	ada = s.open("lobby", s.Token("lobby", "cleo", host), chromedp.EmulateViewport(360, 640))
	ada.until("document.querySelectorAll('[data-action=more]').length === 1")
	ada.eval("document.querySelector('.controls-of summary').click(), document.querySelector('.why summary').click(), ''")
	ada.until("document.querySelector('[data-right]')")
	check("as host")
}

// Whoever wants less motion gets reactions that stand still, and go.
func TestReducedMotion(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.open("lobby", s.Token("lobby", "ada"))
	ada.sees("people", "bob")
	ada.scheme("dark", &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
	ada.eval(`new MutationObserver(() => {
		const mark = document.querySelector(".reaction");
		if (mark) document.body.dataset.motion = getComputedStyle(mark).animationName;
	}).observe(document.body, { subtree: true, childList: true }), ""`)
	bob.OK(wire.Message{Type: "publishData", Topic: "reaction", Payload: []byte(`"🎉"`)})
	ada.until("document.body.dataset.motion === 'stay'")
	ada.until("!document.querySelector('.reaction')")
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
	folder := os.Getenv("USHER_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir() // that they can be taken is tested all the same
	}
	s := serve(t)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	shoot := func(p *tab, name string, whole bool) {
		t.Helper()
		params := page.CaptureScreenshotParams{Format: "png", CaptureBeyondViewport: new(whole)}
		if whole {
			var height int64
			_, _ = fmt.Sscan(p.eval("String(document.documentElement.scrollHeight)"), &height)
			var width int64
			_, _ = fmt.Sscan(p.eval("String(innerWidth)"), &width)
			params.Clip = &page.Viewport{Width: float64(width), Height: float64(height), Scale: 1}
		}
		r, err := chromedp.Call(p.ctx, page.CaptureScreenshot, params)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), r.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wide := chromedp.EmulateViewport(1280, 800)
	phone := chromedp.EmulateViewport(390, 844)
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
		who.p.eval(fmt.Sprintf(portrait, who.back, who.coat, who.skin, who.hairs))
	}
	for _, p := range []*tab{ada, bob} {
		p.click("#turn-microphone")
		p.click("#turn-camera")
		p.until("document.getElementById('turn-camera').ariaPressed === 'true' && document.getElementById('turn-camera').ariaBusy === 'false'")
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
			p.scheme(look)
			p.eval("document.activeElement.blur(), scrollTo(0, 0), document.querySelector('.people .scroll').scrollTop = 0, ''")
		}
		shoot(ada, "demo-desktop-"+look+".png", false)
		shoot(ada, "demo-desktop-whole-"+look+".png", true)
		shoot(dan, "demo-phone-"+look+".png", false)
		shoot(dan, "demo-phone-whole-"+look+".png", true)
	}
	ada.press("dan", "why")
	ada.until("document.querySelector('[data-identity=dan] [data-right]')")
	shoot(ada, "demo-desktop-manage.png", false)
	ada.press("dan", "remove")
	ada.press("dan", "remove")
	dan.sees("notice", "You were removed")
	shoot(dan, "demo-phone-removed.png", false)
	eve := s.open("", "", wide)
	eve.until("document.getElementById('door').checkVisibility()")
	shoot(eve, "demo-door.png", false)
}
