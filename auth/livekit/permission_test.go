package livekit_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
)

// UpdateParticipant replaces LiveKit's flags, all of them, and nothing else.
func TestStatementOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		said   livekit.Permission
		allows string
	}{
		{"nothing", livekit.Permission{}, ""},
		{"publish", livekit.Permission{CanPublish: true}, all},
		{"publish some", livekit.Permission{CanPublish: true, CanPublishSources: []string{"camera", "unknown"}}, "camera customVideo customAudio"},
		{"publish something unknown", livekit.Permission{CanPublish: true, CanPublishSources: []string{"bogus"}}, ""},
		{"sources without publish", livekit.Permission{CanPublishSources: []string{"camera"}}, ""},
		{"subscribe", livekit.Permission{CanSubscribe: true}, "receive"},
		{"data does not follow publish here", livekit.Permission{CanPublishData: true}, dataWords},
		{"hidden", livekit.Permission{Hidden: true}, "hidden"},
		{"metadata", livekit.Permission{CanUpdateMetadata: true}, "metadata"},
		{"metrics", livekit.Permission{CanSubscribeMetrics: true}, "metrics"},
		{"agents", livekit.Permission{CanManageAgentSession: true}, "agents"},
		{"recorder is the token's to say", livekit.Permission{Recorder: true}, ""},
	} {
		say := livekit.StatementOf(test.said)
		if got := strings.Join(named(say.Allow), " "); got != test.allows {
			t.Errorf("%s: allows %q, want %q", test.name, got, test.allows)
		}
		const unknown = foreign | auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription
		if say.Layer != auth.Live || say.Allow|say.Deny != auth.AllRights&^unknown || say.Allow&say.Deny != 0 {
			t.Errorf("%s: %q allows %v, denies %v", test.name, say.Layer, named(say.Allow), named(say.Deny))
		}
	}
}

func TestPermissionOf(t *testing.T) {
	const sources = auth.SendTracks
	for _, test := range []struct {
		name   string
		rights auth.Rights
		want   livekit.Permission
	}{
		{"nothing", 0, livekit.Permission{}},
		{"everything", auth.AllRights, livekit.Permission{
			CanSubscribe: true, CanPublish: true, CanPublishData: true, Hidden: true,
			CanUpdateMetadata: true, CanSubscribeMetrics: true, CanManageAgentSession: true,
		}},
		{"every source", sources, livekit.Permission{CanPublish: true}},
		{"one source", auth.SendCamera, livekit.Permission{CanPublish: true, CanPublishSources: []string{"camera"}}},
		{"LiveKit's sources", sources &^ auth.SendCustomAudio &^ auth.SendCustomVideo, livekit.Permission{
			CanPublish: true, CanPublishSources: []string{"camera", "microphone", "screen_share", "screen_share_audio"},
		}},
		{"its word for ours", auth.SendCamera | auth.SendCustomAudio | auth.SendCustomVideo, livekit.Permission{
			CanPublish: true, CanPublishSources: []string{"camera", "unknown"},
		}},
		{"one of ours", auth.SendCustomAudio, livekit.Permission{CanPublish: true, CanPublishSources: []string{"custom_audio"}}},
		{"all but one of ours", sources &^ auth.SendCustomAudio, livekit.Permission{
			CanPublish: true, CanPublishSources: []string{"camera", "microphone", "screen_share", "screen_share_audio", "custom_video"},
		}},
		{"presence without data is not data", auth.SendPresence, livekit.Permission{}},
		{"sound without sight is not all", auth.ReceiveMicrophone, livekit.Permission{}},
	} {
		if got := livekit.PermissionOf(auth.Permission{Rights: test.rights}); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// The two directions agree: what was said in LiveKit's words is told in them,
// and telling never adds a right.
func TestMappingsAreInverse(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		rights := auth.Rights(random.Uint64()) & auth.AllRights
		told := livekit.PermissionOf(auth.Permission{Rights: rights})
		back := livekit.StatementOf(told)
		if more := back.Allow &^ rights; more != 0 {
			t.Fatalf("%v became %+v, which adds %v", named(rights), told, named(more))
		}
		again := livekit.PermissionOf(auth.Resolve(back))
		if !reflect.DeepEqual(told, again) {
			t.Fatalf("%+v came back as %+v", told, again)
		}
	}
}
