package daily

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"usher/auth/daily"
)

// A route is an address and what is done there. {name} stands for one part of the
// path, {…} at the end for any number of parts.
type route struct {
	pattern string
	parts   []string // of the pattern
	methods map[string]handler
	product string // is not offered here, whatever the method; "" for the others
}

// A handler does a call. What works is answered with 200; a nil answer has no body.
type handler func(*call) (answer any, err error)

// A call is a request of the holder of a domain's API key.
type call struct {
	*http.Request
	api    *api
	domain daily.Domain
	name   string // of the path, as it is: of a room, a meeting, …
	query  url.Values
	header http.Header // of the answer
	held   int64       // of the api's reading, given back when the call has been done
}

// routes are searched in their order.
func routes() []*route {
	var list []*route
	add := func(pattern string, methods map[string]handler) {
		list = append(list, &route{pattern: pattern, parts: strings.Split(pattern, "/"), methods: methods})
	}
	refused := func(product string, patterns ...string) {
		for _, p := range patterns {
			list = append(list, &route{pattern: p, parts: strings.Split(p, "/"), product: product})
		}
	}
	const (
		get    = http.MethodGet
		post   = http.MethodPost
		remove = http.MethodDelete
	)
	add("/v1", map[string]handler{get: showDomain, post: updateDomain})
	add("/v1/rooms", map[string]handler{get: listRooms, post: createRoom})
	add("/v1/rooms/{name}", map[string]handler{get: showRoom, post: updateRoom, remove: deleteRoom})
	add("/v1/rooms/{name}/presence", map[string]handler{get: roomPresence})
	add("/v1/rooms/{name}/eject", map[string]handler{post: eject})
	add("/v1/rooms/{name}/update-permissions", map[string]handler{post: updatePermissions})
	add("/v1/rooms/{name}/send-app-message", map[string]handler{post: sendAppMessage})
	add("/v1/rooms/{name}/set-session-data", map[string]handler{post: setSessionData})
	add("/v1/rooms/{name}/get-session-data", map[string]handler{get: getSessionData})
	add("/v1/batch/rooms", map[string]handler{post: createRooms, remove: deleteRooms})
	add("/v1/meeting-tokens", map[string]handler{post: createToken})
	// Before the one for a token, which has two dots.
	add("/v1/meeting-tokens/revoke", map[string]handler{post: revokeTokens})
	add("/v1/meeting-tokens/{name}", map[string]handler{get: showToken})
	add("/v1/presence", map[string]handler{get: presence})
	add("/v1/meetings", map[string]handler{get: listMeetings})
	add("/v1/meetings/{name}", map[string]handler{get: showMeeting})
	add("/v1/meetings/{name}/participants", map[string]handler{get: meetingParticipants})
	add("/v1/webhooks", map[string]handler{get: listHooks, post: createHook})
	add("/v1/webhooks/{name}", map[string]handler{get: showHook, post: updateHook, remove: deleteHook})

	refused("recording", "/v1/recordings/{…}", "/v1/rooms/{name}/recordings/{…}")
	refused("live streaming", "/v1/rooms/{name}/live-streaming/{…}")
	refused("transcription", "/v1/transcript/{…}", "/v1/rooms/{name}/transcription/{…}")
	refused("dialing out", "/v1/rooms/{name}/dialOut/{…}")
	refused("dialing in", "/v1/rooms/{name}/pinless-call-update", "/v1/dialin/{…}", "/v1/domain-dialin-config/{…}")
	refused("SIP", "/v1/rooms/{name}/sipCallTransfer", "/v1/rooms/{name}/sipRefer", "/v1/sip_clients/{…}", "/v1/sip_trunks/{…}")
	refused("telephony", "/v1/buy-phone-number", "/v1/purchased-phone-numbers/{…}", "/v1/release-phone-number/{…}",
		"/v1/list-available-numbers", "/v1/phone-numbers/{…}")
	refused("the batch processor", "/v1/batch-processor/{…}")
	refused("the log of calls", "/v1/logs/{…}")
	return list
}

// find returns the route of a path as it came, and what its {name} stands for. One
// slash at the end is passed over.
func find(routes []*route, escaped string) (found *route, name string) {
	parts := strings.Split(strings.TrimSuffix(escaped, "/"), "/")
	for _, r := range routes {
		if name, ok := r.match(parts); ok {
			return r, name
		}
	}
	return nil, ""
}

func (r *route) match(parts []string) (name string, ok bool) {
	for i, want := range r.parts {
		if want == "{…}" {
			return name, true
		}
		if i == len(parts) {
			return "", false
		}
		got, err := url.PathUnescape(parts[i])
		switch {
		case err != nil:
			return "", false
		case want == "{name}":
			if got == "" {
				return "", false
			}
			name = got
		case want != got:
			return "", false
		}
	}
	return name, len(parts) == len(r.parts)
}

// allowed are the methods that a route has.
func (r *route) allowed() []string {
	var list []string
	for method := range r.methods {
		list = append(list, method)
	}
	slices.Sort(list)
	return list
}

// handler is what does a method.
func (r *route) handler(method string) handler {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return r.methods[method]
}
