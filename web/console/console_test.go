package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"usher/web/console"
)

func TestFiles(t *testing.T) {
	h := console.Handler()
	get := func(path, tag string) *http.Response {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Result()
	}
	for path, kind := range map[string]string{
		"/console": "text/html", "/console/console.js": "text/javascript", "/console/console.css": "text/css", "/console/icon.svg": "image/svg+xml",
	} {
		res := get(path, "")
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || len(body) == 0 {
			t.Errorf("%s: got %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q has no %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is unsafe", path)
		}
		if again := get(path, res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %d for what the browser has, want 304", path, again.StatusCode)
		}
	}
	for _, path := range []string{"/", "/console/index.html", "/console/nothing.js", "/console/"} {
		if res := get(path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, res.StatusCode)
		}
	}
}
