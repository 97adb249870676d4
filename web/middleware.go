package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// api is what holds for server APIs: browsers of every origin may call them,
// since nothing but a token in a header lets anybody in, and bodies are bounded.
func api(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			// A "*" here would leave Authorization out.
			headers := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", ")
			if headers == "" {
				headers = "Authorization, Content-Type"
			}
			header.Set("Access-Control-Allow-Headers", headers)
			header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			header.Set("Access-Control-Max-Age", "86400")
			header.Set("Vary", "Access-Control-Request-Headers")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.ContentLength > MaxAPIBytes {
			writeError(w, http.StatusRequestEntityTooLarge, "limit_exceeded",
				fmt.Sprintf("request body too large: the limit is %d bytes", MaxAPIBytes))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxAPIBytes)
		h.ServeHTTP(w, r)
	})
}

// wrap is what holds for every request.
func (c Config) wrap(h http.Handler, m *metrics) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No page of ours passes its address on, or is guessed to be a script.
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")

		began := time.Now()
		sent := &response{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				c.Log.Error("panic in a request", "method", r.Method, "path", shown(r.URL.Path),
					"panic", harmless(p), "stack", string(debug.Stack()))
				if sent.status == 0 {
					writeError(sent, http.StatusInternalServerError, "internal", "internal error")
				}
			}
			status := sent.status
			if status == 0 {
				status = http.StatusOK
			}
			took := time.Since(began)
			m.served(r.Pattern, status, took)
			c.Log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method),
				slog.String("path", shown(r.URL.Path)), slog.Int("status", status), slog.Duration("took", took))
		}()
		if headerBytes(r) > MaxHeaderBytes {
			writeError(sent, http.StatusRequestHeaderFieldsTooLarge, "limit_exceeded",
				fmt.Sprintf("request header too large: the limit is %d bytes", MaxHeaderBytes))
			return
		}
		h.ServeHTTP(sent, r)
	})
}

// shown is a path as logs may have it: in Daily's API one has a token.
func shown(path string) string {
	const token = "/meeting-tokens/"
	if at := strings.Index(path, token); at >= 0 {
		return path[:at+len(token)] + "…"
	}
	return path
}

// headerBytes is the size of a request's header on the wire, or close to it.
func headerBytes(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host) + len("  HTTP/1.1\r\nHost: \r\n\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// harmless tells of a panic what cannot hold a token: the runtime's own errors
// whole, of other values the type. The stack has the place.
func harmless(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// A response notes what was answered.
type response struct {
	http.ResponseWriter
	status int // 0 until the header is written
}

func (w *response) WriteHeader(status int) {
	// 1xx other than 101 only announce the header to come.
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets a handler take the connection over and set deadlines.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
