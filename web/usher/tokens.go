package usher

import (
	"net/http"
	"strings"
	"time"

	"usher/auth"
	"usher/web"
	"usher/web/explain"
)

// tokenReport is what there is to say of a text that should be a token.
type tokenReport struct {
	Kind     explain.Kind   `json:"kind"`
	What     string         `json:"what"`     // follows "this is"
	Accepted bool           `json:"accepted"` // by this server, now
	Report   explain.Report `json:"report"`
}

// explainToken says what a token of whatever kind is good for. Nothing of it is
// logged, nor in an error.
func (a *api) explainToken(r *request) (int, any, error) {
	if err := r.may(""); err != nil {
		return 0, nil, err
	}
	var body struct {
		Token string `json:"token"`
	}
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	token := strings.TrimSpace(body.Token)
	g, err := a.Verifier.Verify(token)
	if unverified, _ := auth.ReadUnverified(token, r.grant.Format); unverified != nil {
		// Keys of other projects are nobody's business here.
		if key, ok := a.Verifier.Keys().Lookup(unverified.KeyID); ok && key.Project != r.grant.Project {
			g, err = nil, auth.ErrUnknownKey
		}
	}
	now := time.Now()
	var out tokenReport
	out.Kind, out.Report = explain.Any(token, []string{explain.Signature(err)}, now)
	out.What = out.Kind.What()
	if out.Kind != explain.LiveKitToken {
		return http.StatusOK, out, nil
	}
	here := "this server takes it"
	switch {
	case err != nil:
		here = "this server refuses it: " + explain.Refusal(token, err, now)
	case web.Revoked(a.Rooms, a.Verifier, g):
		here = "this server refuses it: it was revoked"
	case g.Join && g.Room == "":
		here = "this server refuses it: it names no room"
	default:
		out.Accepted = true
	}
	out.Report = append(out.Report, explain.Part{Label: "here", Lines: []string{here}})
	return http.StatusOK, out, nil
}
