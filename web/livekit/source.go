package livekit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/livekit/protocol/livekit"
)

// isJSON reports whether Twirp will read the request as JSON.
func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(strings.ToLower(kind)) == "application/json"
}

// unknownSource finds a name in the canPublishSources of a JSON request that is
// none of LiveKit's sources, and returns it as it stands there. The decoder
// drops such names, as it must drop what newer clients know, and a list that
// has become empty by that would allow every source. What else is wrong with the
// request is left to the decoder. Names of fields are matched exactly, as it
// does.
func unknownSource(body []byte) string {
	var request, permission map[string]json.RawMessage
	// The decoder, too, reads the first value only.
	if json.NewDecoder(bytes.NewReader(body)).Decode(&request) != nil ||
		json.Unmarshal(request["permission"], &permission) != nil {
		return ""
	}
	for _, spelling := range []string{"canPublishSources", "can_publish_sources"} {
		var list []json.RawMessage
		if json.Unmarshal(permission[spelling], &list) != nil {
			continue
		}
		for _, raw := range list {
			var name string
			if !bytes.HasPrefix(raw, []byte{'"'}) || json.Unmarshal(raw, &name) != nil {
				continue
			}
			if _, ok := livekit.TrackSource_value[name]; !ok {
				return shorten(string(raw))
			}
		}
	}
	return ""
}

func shorten(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func errSource(source string) error {
	return invalidArgument("permission.can_publish_sources",
		fmt.Sprintf("there is no source %s; the sources are UNKNOWN, CAMERA, MICROPHONE, SCREEN_SHARE and SCREEN_SHARE_AUDIO", source))
}

// sourceNames returns the names that tokens have for sources.
func sourceNames(sources []livekit.TrackSource) ([]string, error) {
	names := make([]string, len(sources))
	for i, s := range sources {
		name, ok := livekit.TrackSource_name[int32(s)]
		if !ok { // numbers are not the decoder's to judge
			return nil, errSource(strconv.Itoa(int(s)))
		}
		names[i] = strings.ToLower(name)
	}
	return names, nil
}
