package sdk_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"usher/web/browsertest"
)

// Who speaks is seen by both sides, until the microphone is muted. The browser's
// microphone beeps.
func TestSpeakers(t *testing.T) {
	s := serve(t)
	s.browser = browsertest.Open(t, chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	ada := s.join(s.Token("lobby", "ada"))
	bob := s.join(s.Token("lobby", "bob"))
	bob.js(`room.on(sdk.RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach())), 0`)
	ada.js(`me.setMicrophoneEnabled(true).then(() => 0)`)
	for _, p := range []*tab{ada, bob} {
		p.heard("activeSpeakersChanged", 1)
		p.is(`((e) => [e.length, e[0].identity])(events("activeSpeakersChanged")[0][0])`, `[1,"ada"]`)
		p.is(`who("ada").lastSpokeAt instanceof Date`, `true`)
	}
	ada.js(`me.setMicrophoneEnabled(false).then(() => 0)`)
	for _, p := range []*tab{ada, bob} {
		p.until(`room.activeSpeakers.length === 0`)
		p.is(`[who("ada").isSpeaking, who("ada").audioLevel]`, `[false,0]`)
	}
}

// Another camera goes on in the same track, for both sides.
func TestSwitchDevice(t *testing.T) {
	s := serve(t)
	s.browser = browsertest.Open(t, chromedp.Flag("use-fake-device-for-media-stream", "fps=10,device-count=3"))
	ada := s.join(s.Token("lobby", "ada"))
	bob := s.join(s.Token("lobby", "bob"))
	ada.js(`me.setCameraEnabled(true).then(() => 0)`)
	bob.heard("trackSubscribed", 1)
	ada.is(`sdk.Room.getLocalDevices("videoinput").then((all) => (window.cameras = all).length)`, `3`)
	// The second camera of Chromium's is one for depth, which nothing encodes.
	ada.is(`window.other = cameras.find((d) => d.label === "fake_device_2").deviceId, other !== room.getActiveDevice("videoinput")`, `true`)
	ada.is(`room.switchActiveDevice("videoinput", other)`, `true`)
	ada.is(`[room.getActiveDevice("videoinput") === other, events("activeDeviceChanged").length, me.isCameraEnabled]`, `[true,1,true]`)
	ada.is(`me.getTrackPublication("camera").track.mediaStreamTrack.getSettings().deviceId === other`, `true`)

	// Off and on again it is still that one, and nobody else has noticed.
	ada.js(`me.setCameraEnabled(false).then(() => me.setCameraEnabled(true)).then(() => 0)`)
	ada.is(`room.getActiveDevice("videoinput") === other`, `true`)
	bob.js(`document.body.append((window.seeing = who("ada").getTrackPublication("camera").track).attach()), 0`)
	bob.is(`new Promise((done) => {
		const end = performance.now() + 30000;
		(function look() { performance.now() > end ? done(seeing.stats()) : seeing.stats()?.decoded > 5 ? done(true) : setTimeout(look, 20) })();
	})`, `true`)
	bob.is(`[events("trackSubscribed").length, events("trackUnpublished").length]`, `[1,0]`)

	if e := ada.refused(`room.switchActiveDevice("videoinput", "there is none")`); e.Name != "MediaError" || e.Code != "constraints" {
		t.Errorf("got %+v", e)
	}
	ada.is(`[room.getActiveDevice("videoinput") === other, me.isCameraEnabled]`, `[true,true]`)
	if e := ada.refused(`room.switchActiveDevice("audiooutput", "x")`); e.Name != "UnsupportedError" {
		t.Errorf("got %+v", e)
	}
}
