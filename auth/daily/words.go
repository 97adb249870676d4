package daily

import (
	"fmt"
	"strings"

	"usher/auth"
)

// A property is one of a token's, by the name that POST /meeting-tokens has for it
// and by the claim it becomes.
type property struct {
	long, short string
	check       func(name string, raw []byte) error // of what is asked for
}

// properties is the table of all of them, in the order in which claims are written
// and told. The claims d and iat, which are no properties, follow the room.
var properties = []property{
	{"room_name", "r", checkRoom},
	{"exp", "exp", checkExpiry},
	{"nbf", "nbf", checkTime},
	{"is_owner", "o", checkFlag},
	{"user_name", "u", checkText},
	{"user_id", "ud", checkUserID},
	{"knocking", "k", checkFlag},
	{"permissions", "p", checkPermissions},
	{"eject_at_token_exp", "ejt", checkFlag},
	{"eject_after_elapsed", "eje", checkSpan},
	{"enable_screenshare", "ss", checkFlag},
	{"start_video_off", "vo", checkFlag},
	{"start_audio_off", "ao", checkFlag},
	{"enable_recording", "er", checkRecording},
	{"start_cloud_recording", "sr", checkFlag},
	{"start_cloud_recording_opts", "sro", checkObject},
	{"auto_start_transcription", "ast", checkFlag},
	{"enable_recording_ui", "erui", checkFlag},
	{"enable_prejoin_ui", "enable_prejoin_ui", checkFlag},
	{"enable_live_captions_ui", "enable_live_captions_ui", checkFlag},
	{"enable_terse_logging", "enable_terse_logging", checkFlag},
	{"close_tab_on_exit", "ctoe", checkFlag},
	{"redirect_on_meeting_exit", "rome", checkText},
	{"intercom_join_alert", "ij", checkFlag},
	{"meeting_join_hook", "mjh", checkText},
	{"lang", "uil", checkLanguage},
}

// ShortOf returns the claim that a property is in a token, and false when no
// property is called so.
func ShortOf(long string) (short string, ok bool) {
	for i := range properties {
		if properties[i].long == long {
			return properties[i].short, true
		}
	}
	return "", false
}

// MaxUserIDLength is how many characters a user id may have.
const MaxUserIDLength = 36

var (
	languages  = []string{"da", "de", "en", "es", "fi", "fr", "it", "jp", "ka", "nl", "no", "pt", "pt-BR", "pl", "ru", "sv", "tr", "user"}
	recordings = []string{"cloud", "cloud-audio-only", "local", "raw-tracks"}
)

// spelling is the names of permissions, as requests have them or as tokens do.
type spelling struct {
	presence, send, receive, admin string

	base, byUser, byParticipant string // of receive

	media  []string // in the order of sources
	admins []string // in the order of moderation
}

var (
	long = &spelling{
		"hasPresence", "canSend", "canReceive", "canAdmin",
		"base", "byUserId", "byParticipantId",
		[]string{"video", "audio", "screenVideo", "screenAudio", "customVideo", "customAudio"},
		[]string{"participants", "streaming", "transcription"},
	}
	short = &spelling{
		"hp", "cs", "cr", "ca",
		"b", "u", "p",
		[]string{"v", "a", "sv", "sa", "cv", "ca"},
		[]string{"p", "s", "t"},
	}
)

func sources(s *spelling) []string { return s.media }
func admins(s *spelling) []string  { return s.admins }

// What the names stand for, in their order.
var (
	sending    = []auth.Rights{auth.SendCamera, auth.SendMicrophone, auth.SendScreenShare, auth.SendScreenShareAudio, auth.SendCustomVideo, auth.SendCustomAudio}
	receiving  = []auth.Rights{auth.ReceiveCamera, auth.ReceiveMicrophone, auth.ReceiveScreenShare, auth.ReceiveScreenShareAudio, auth.ReceiveCustomVideo, auth.ReceiveCustomAudio}
	moderation = []auth.Rights{auth.ModerateParticipants, auth.ModerateStreaming, auth.ModerateTranscription}
)

const (
	// moderate is the rights of canAdmin.
	moderate = auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription
	// media is the rights of canReceive. Data tracks are none of Daily's.
	media = auth.ReceiveTracks &^ auth.ReceiveDataTracks
	// present is what everybody may who is in a room.
	present = auth.SendData | auth.SendPresence | auth.UpdateOwnMetadata
	// narrowing is what takes from its holder rather than gives.
	narrowing = auth.Hidden | auth.ReceiveOnlyOwners
)

// An InvalidError says what is wrong with a property, in words that may be shown to
// whoever asked for it.
type InvalidError struct{ Problem string }

func (e *InvalidError) Error() string { return e.Problem }

func invalid(format string, args ...any) error {
	return &InvalidError{Problem: fmt.Sprintf(format, args...)}
}

// clip shortens what is quoted of a request.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
