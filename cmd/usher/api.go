package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// apiFlags is how to reach a server's API.
type apiFlags struct {
	URL string `default:"http://127.0.0.1:7880" placeholder:"URL" help:"Address of the server's API (${default})."`
	tokenKey
	JSON bool `help:"Print the server's answer as it came."`
}

// roomFlags is which room, and how to reach it.
type roomFlags struct {
	apiFlags
	Room string `required:"" placeholder:"ROOM" help:"Name of the room."`
}

// AfterApply refuses an empty name, which kong takes for one that is given.
func (f *roomFlags) AfterApply() error {
	if f.Room == "" {
		return errors.New("--room is empty")
	}
	return nil
}

// personFlags is who, in which room.
type personFlags struct {
	roomFlags
	Identity string `required:"" placeholder:"IDENTITY" help:"Who."`
}

func (f *personFlags) AfterApply() error {
	if f.Identity == "" {
		return errors.New("--identity is empty")
	}
	return f.roomFlags.AfterApply()
}

// administers is the grant to administer a room; without one, the project.
func administers(room string) livekit.VideoGrant {
	return livekit.VideoGrant{RoomAdmin: true, Room: room}
}

const (
	apiTimeout  = 30 * time.Second
	maxAPIBytes = 64 << 20 // of an answer
)

// call calls a method of LiveKit's RoomService and returns the answer's JSON.
func (a *apiFlags) call(ctx context.Context, grant livekit.VideoGrant, method string, request any) ([]byte, error) {
	return a.do(ctx, grant, http.MethodPost, []string{"twirp", "livekit.RoomService", method}, nil, request)
}

// ask sends a request to usher's own API and returns the answer's JSON.
func (a *apiFlags) ask(ctx context.Context, grant livekit.VideoGrant, method string, path []string, query url.Values, request any) ([]byte, error) {
	return a.do(ctx, grant, method, append([]string{"usher", "v1"}, path...), query, request)
}

// do sends a request, with a token that is good for a minute and for nothing
// else. The parts of the path may be any text.
func (a *apiFlags) do(ctx context.Context, grant livekit.VideoGrant, method string, path []string, query url.Values, request any) ([]byte, error) {
	if err := a.complete(); err != nil {
		return nil, err
	}
	u, err := a.address(path, query)
	if err != nil {
		return nil, err
	}
	token, err := livekit.Mint(a.APIKey, auth.Secret(a.APISecret), livekit.Claims{Identity: "usher-cli", Video: &grant}, time.Minute, time.Now())
	if err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var content io.Reader = http.NoBody
	if request != nil {
		content = bytes.NewReader(encode(request))
	}
	req, err := http.NewRequestWithContext(ctx, method, u, content)
	if err != nil {
		return nil, err
	}
	req.Close = true // the only one of its kind
	req.Header.Set("Authorization", "Bearer "+token)
	if request != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the outer text only repeats the address
		}
		return nil, withHint(fmt.Errorf("cannot reach %s: %w", a.URL, err), "is a server running there?")
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAPIBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", a.URL, err)
	}
	if res.StatusCode/100 == 2 {
		return body, nil
	}
	return nil, a.refusal(res, body)
}

// address returns the address of a part of the API.
func (a *apiFlags) address(path []string, query url.Values) (string, error) {
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" {
		return "", usageErrorf("--url %s is not an address; write it like http://127.0.0.1:7880", a.URL)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	for _, part := range path {
		escaped := url.PathEscape(part)
		if part == "." || part == ".." { // these would lead elsewhere
			escaped = strings.ReplaceAll(escaped, ".", "%2E")
		}
		u.Path += "/" + part
		u.RawPath += "/" + escaped
	}
	u.RawQuery, u.Fragment = query.Encode(), ""
	return u.String(), nil
}

// An apiError is how the API says no.
type apiError struct {
	Code string
	Msg  string
}

func (e *apiError) Error() string { return fmt.Sprintf("the server refused: %s (%s)", e.Msg, e.Code) }

// readRefusal reads what an answer says besides its status: LiveKit's API in
// msg, the others in message.
func readRefusal(res *http.Response, body []byte) (refused *apiError, twirp bool) {
	var said struct{ Code, Msg, Message string }
	if json.Unmarshal(body, &said) == nil && cmp.Or(said.Msg, said.Message) != "" {
		return &apiError{cmp.Or(said.Code, res.Status), cmp.Or(said.Msg, said.Message)}, said.Msg != ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return &apiError{res.Status, line}, false
}

// refusal says in words what an answer means that is no success.
func (a *apiFlags) refusal(res *http.Response, body []byte) error {
	refused, twirp := readRefusal(res, body)
	known := twirp || strings.HasSuffix(refused.Msg, " does not exist")
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return withHint(fmt.Errorf("the server does not accept the key %s: %s", a.APIKey, visible(refused.Msg)),
			"check --api-key and --api-secret, and that the clocks agree")
	case res.StatusCode == http.StatusForbidden:
		return withHint(fmt.Errorf("the server does not let the key %s do that: %s", a.APIKey, visible(refused.Msg)),
			"another version of usher, or something before the server, may ask for more")
	case res.StatusCode == http.StatusNotFound && !known:
		return withHint(fmt.Errorf("%s has no such API (%s)", a.URL, res.Status), "with admin_addr set, the server APIs are only there")
	case res.StatusCode == http.StatusServiceUnavailable && refused.Code == "unavailable":
		return withHint(refused, "the server's log says more; try again")
	}
	return refused
}

// missing puts in our words what err says does not exist.
func missing(err error, participant, room error) error {
	var api *apiError
	if !errors.As(err, &api) || api.Code != "not_found" {
		return err
	}
	if strings.Contains(api.Msg, "room") && room != nil {
		return room
	}
	return participant
}

func noRoom(name string) error { return fmt.Errorf("there is no room %q", name) }

// about names the participant when err says that there is none.
func (f *personFlags) about(err error) error {
	nobody := fmt.Errorf("%q is not in room %q", f.Identity, f.Room)
	return missing(err, nobody, nobody)
}

func errAnswer(err error) error {
	return fmt.Errorf("the server's answer is not understood: %w", err)
}

// printJSON prints a JSON document on one line.
func printJSON(w io.Writer, document []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil {
		return errAnswer(err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// A table is rows in aligned columns. What is in a cell cannot change the
// terminal.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		t.row(heads...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if i > 0 {
			_, _ = io.WriteString(t.w, "\t")
		}
		_, _ = io.WriteString(t.w, visible(cell))
	}
	_, _ = io.WriteString(t.w, "\n")
}

// field prints a row with a name and a value, unless there is no value.
func (t *table) field(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

// short is the beginning of a text that may be long, for a column.
func short(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// clock tells a time, in the zone of whoever reads it.
func clock(t time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// A moment is a time as people give it: as 2026-01-02T15:04:05Z, as Unix
// seconds, or as now.
type moment struct{ time.Time }

func (m *moment) UnmarshalText(text []byte) error {
	if string(text) == "now" {
		m.Time = time.Now()
		return nil
	}
	if seconds, err := strconv.ParseInt(string(text), 10, 64); err == nil && len(text) >= 9 {
		m.Time = time.Unix(seconds, 0)
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time; write it like 2026-01-02T15:04:05Z, as Unix seconds, or as now", text)
	}
	m.Time = t
	return nil
}
