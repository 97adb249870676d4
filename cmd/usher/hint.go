package main

import (
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
)

// wayHint is what to do when a server was there and could not be talked to in
// the way that the address asks for, or "". Commands that call a server know
// only that there was no answer, so it counts more than their hints.
func wayHint(err error) string {
	var (
		other  *noWebSocketError
		refuse *apiError
		signer x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "a server is there, and it speaks without TLS: begin the address with ws:// or http://"
	case errors.As(err, &other) && asksForTLS(other.body), errors.As(err, &refuse) && asksForTLS(refuse.Msg):
		return "a server is there, and it speaks TLS: begin the address with wss:// or https://"
	case errors.As(err, &signer):
		return "the server's certificate is not trusted here; on Linux, SSL_CERT_FILE=cert.pem in the environment trusts the one in that file"
	}
	return ""
}

// asksForTLS reports whether an answer is that of a server that speaks TLS to a
// request without. There is no code for it, but those of Go and nginx name it.
func asksForTLS(answer string) bool {
	return strings.Contains(answer, "HTTP request") && strings.Contains(answer, "HTTPS")
}

// A noWebSocketError is an answer other than a WebSocket.
type noWebSocketError struct {
	text string
	body string // as far as it matters
}

func (e *noWebSocketError) Error() string { return e.text }
