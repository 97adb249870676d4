package sdk_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"usher/web/browsertest"
)

// counting keeps what a page makes that somebody has to end.
const counting = `
	window.made = { codecs: [], contexts: [], tracks: [], intervals: new Set() };
	for (const name of ["VideoEncoder", "VideoDecoder", "AudioEncoder", "AudioDecoder"]) {
		window[name] = class extends window[name] { constructor(init) { super(init); made.codecs.push(this); } };
	}
	window.AudioContext = class extends AudioContext { constructor(init) { super(init); made.contexts.push(this); } };
	const { mediaDevices } = navigator, get = mediaDevices.getUserMedia.bind(mediaDevices);
	mediaDevices.getUserMedia = async (wish) => {
		const stream = await get(wish);
		made.tracks.push(...stream.getTracks());
		return stream;
	};
	const { setInterval, clearInterval } = window;
	window.setInterval = (...args) => { const id = setInterval(...args); made.intervals.add(id); return id; };
	window.clearInterval = (id) => { made.intervals.delete(id); clearInterval(id); };
	window.left = () => ({
		codecs: made.codecs.filter((c) => c.state !== "closed").length,
		running: made.contexts.filter((c) => c.state === "running").length,
		contexts: made.contexts.length,
		tracks: made.tracks.filter((t) => t.readyState === "live").length,
		intervals: made.intervals.size,
	});
	window.playing = () => new Promise((done) => {
		const end = performance.now() + 30000;
		(function look() {
			const video = document.querySelector("video");
			const seen = (me.isCameraEnabled || video?.videoWidth > 0) && left().codecs === 3; // sound both ways, a picture one way
			const stats = [...room.remoteParticipants.values()].flatMap((p) => p.getTrackPublications()).map((p) => p.track?.stats());
			seen || performance.now() > end ? done(seen ? "" : JSON.stringify({ ...left(), state: video?.readyState, paused: video?.paused, mine: made.tracks.slice(-2).map((t) => [t.kind, t.readyState, t.muted, t.enabled, t.getSettings().width]), sent: room.localParticipant.getTrackPublications().map((p) => p.stats().captured), stats })) : setTimeout(look, 20);
		})();
	});
	window.nothingLeft = () => new Promise((done) => {
		const end = performance.now() + 30000;
		(function look() {
			const { contexts, ...open } = left();
			const clean = contexts === 1 && Object.values(open).every((n) => n === 0);
			clean || performance.now() > end ? done(clean ? "" : JSON.stringify(left())) : setTimeout(look, 20);
		})();
	});`

// Calls with camera and microphones, one after another in the same pages, leave no
// capture, codec or timer behind, and one AudioContext that is at rest. Only one
// page has a camera on: where two windows switch Chromium's fake one on and off
// together, its MediaStreamTrackProcessor now and then gives one of them no frames.
func TestNothingStays(t *testing.T) {
	s := serve(t)
	browser := browsertest.Open(t, chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	var people []*tab
	tokens := []string{s.Token("lobby", "ada"), s.Token("lobby", "bob")}
	for range tokens {
		p := (&tab{browsertest.New(t, browser, s.URL+"/page", expected, browsertest.Script(counting)), t}).ready()
		p.js(`make().on(sdk.RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach())) && room.on(sdk.RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((e) => e.remove())), 0`)
		people = append(people, p)
	}
	for range 3 {
		for i, p := range people {
			p.js(`(seen.length = 0, room.connect(location.origin, ` + quote(tokens[i]) + `))`)
			p.js([]string{`me.enableCameraAndMicrophone().then(() => 0)`, `me.setMicrophoneEnabled(true).then(() => 0)`}[i])
		}
		for i, p := range people {
			p.heard("trackSubscribed", i+1)
			p.is(`playing()`, `""`)
		}
		for _, p := range people {
			p.js(`room.disconnect()`)
		}
		for _, p := range people {
			p.is(`nothingLeft()`, `""`)
			p.is(`document.querySelectorAll("video, audio").length`, `0`)
		}
	}
}
