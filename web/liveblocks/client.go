package liveblocks

import (
	"net/http"
	"net/url"
	"strings"
)

// Client returns the handler for /v2/c/, which pages call for comments,
// notifications and the like. None of that is offered here. The answer is one
// that @liveblocks/client shows at once, in place of trying again, and that
// pages of every origin may read.
//
// It looks at no token, for it tells nothing.
func Client() http.Handler { return http.HandlerFunc(notForPages) }

// preflightAge is how long a browser may remember that a page may ask, in seconds.
const preflightAge = "86400"

func notForPages(w http.ResponseWriter, r *http.Request) {
	r.Pattern = "/v2/c/"
	h := w.Header()
	h.Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-LB-Warn")
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		headers := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", ")
		if headers == "" {
			headers = "authorization, content-type, x-lb-client"
		}
		h.Set("Access-Control-Allow-Headers", headers)
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		h.Set("Access-Control-Max-Age", preflightAge)
		h.Add("Vary", "Access-Control-Request-Headers")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	refuse(w, notOffered(productOf(r.URL.EscapedPath())).(*problem))
}

// products are what pages ask for, by the part of the path that says so.
var products = map[string]string{
	"threads":                  "Comments are",
	"thread-with-notification": "Comments are",
	"attachments":              "Comments are",
	"text-mentions":            "Comments are",
	"inbox-notifications":      "Notifications are",
	"notification-settings":    "Notifications are",
	"subscription-settings":    "Notifications are",
	"versions":                 "version history is",
	"storage":                  "files and Storage over HTTP are",
	"text-metadata":            "Text Editor is",
	"ai":                       "AI Copilots are",
	"groups":                   "user groups are",
	"urls":                     "previews of addresses are",
}

// productOf says what a path of /v2/c/ asks for.
func productOf(escaped string) string {
	parts := strings.Split(strings.TrimPrefix(escaped, "/v2/c/"), "/")
	at := 0
	if parts[0] == "rooms" {
		at = 2 // behind the room's id
	}
	if at < len(parts) {
		if name, err := url.PathUnescape(parts[at]); err == nil && products[name] != "" {
			return products[name]
		}
	}
	return "this part of Liveblocks is"
}
