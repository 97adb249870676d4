package auth

import "slices"

// rightNames is what rights are called where they outlive a process or are
// shown to people: bits may be numbered anew, names stay.
var rightNames = []string{
	"sendCamera", "sendMicrophone", "sendScreenShare", "sendScreenShareAudio", "sendCustomVideo", "sendCustomAudio",
	"receiveCamera", "receiveMicrophone", "receiveScreenShare", "receiveScreenShareAudio", "receiveCustomVideo", "receiveCustomAudio", "receiveDataTracks",
	"sendData", "sendPresence", "updateOwnMetadata", "readStorage", "writeStorage",
	"readPublicComments", "writePublicComments", "readPrivateComments", "writePrivateComments", "readFeeds", "writeFeeds",
	"moderateParticipants", "moderateStreaming", "moderateTranscription", "owner",
	"subscribeMetrics", "manageAgents", "receiveOnlyOwners", "hidden",
}

// Names returns the names of the rights in r, in a fixed order.
func (r Rights) Names() []string {
	var names []string
	for i, name := range rightNames {
		if r.Has(1 << i) {
			names = append(names, name)
		}
	}
	return names
}

// ParseRights returns the rights with those names, and false when one is none.
func ParseRights(names []string) (r Rights, ok bool) {
	for _, name := range names {
		i := slices.Index(rightNames, name)
		if i < 0 {
			return 0, false
		}
		r |= 1 << i
	}
	return r, true
}
