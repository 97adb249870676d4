package livekit_test

import (
	"encoding/json"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
)

const (
	keyID  = "APIacme"
	secret = "a-secret-of-more-than-32-characters"
)

func newVerifier(t testing.TB) *auth.Verifier {
	t.Helper()
	keys, err := auth.NewKeys([]auth.Key{
		{ID: keyID, Secret: auth.Secret(secret), Project: "acme", Format: livekit.Format{}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewVerifier(keys, 0)
}

// verify signs claims, to which it adds what every token has, and verifies them.
func verify(t testing.TB, claims string) (*auth.Grant, error) {
	t.Helper()
	return newVerifier(t).Verify(sign(t, claims))
}

func sign(t testing.TB, claims string) string {
	t.Helper()
	payload := `{"iss":"` + keyID + `","exp":9999999999`
	if claims != "" {
		payload += "," + claims
	}
	token, err := auth.Sign(json.RawMessage(payload+"}"), auth.Secret(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// foreign is the rights that LiveKit has no words for.
const foreign = auth.ReadStorage | auth.WriteStorage | auth.Owner | auth.ReceiveOnlyOwners |
	auth.ReadPublicComments | auth.WritePublicComments | auth.ReadPrivateComments | auth.WritePrivateComments |
	auth.ReadFeeds | auth.WriteFeeds

// words names the rights for people who read failures.
var words = map[auth.Rights]string{
	auth.SendCamera: "camera", auth.SendMicrophone: "microphone", auth.SendScreenShare: "screen",
	auth.SendScreenShareAudio: "screenAudio", auth.SendCustomVideo: "customVideo", auth.SendCustomAudio: "customAudio",
	auth.ReceiveTracks: "receive", auth.SendData: "data", auth.SendPresence: "presence", auth.UpdateOwnMetadata: "metadata",
	auth.ModerateParticipants: "moderate", auth.ModerateStreaming: "streaming", auth.ModerateTranscription: "transcription",
	auth.SubscribeMetrics: "metrics", auth.ManageAgents: "agents", auth.Hidden: "hidden",
	auth.ReadStorage: "readStorage", auth.WriteStorage: "writeStorage", auth.Owner: "owner", auth.ReceiveOnlyOwners: "receiveOnlyOwners",
	auth.ReadPublicComments: "readPublicComments", auth.WritePublicComments: "writePublicComments",
	auth.ReadPrivateComments: "readPrivateComments", auth.WritePrivateComments: "writePrivateComments",
	auth.ReadFeeds: "readFeeds", auth.WriteFeeds: "writeFeeds",
}

func named(r auth.Rights) []string {
	names := []string{}
	if r.Has(auth.ReceiveTracks) {
		names = append(names, words[auth.ReceiveTracks])
		r &^= auth.ReceiveTracks
	}
	r.Each(func(one auth.Rights) { names = append(names, words[one]) })
	return names
}
