package daily

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
)

// A property is what a room's property may be. What is not among [properties] may
// be anything, and is kept and shown.
type property struct {
	kind  kind
	usual string // its default, as JSON; empty: none, it is shown whenever it is set
	most  int    // of text: its length
}

type kind uint8

const (
	truth   kind = iota
	moment       // seconds since the Unix epoch, in the future unless it is nbf
	seconds      // how long
	count
	characters // how many, at least one
	number
	text
	group // an object
	list
	texts // text, or a list of it
	rules // permissions
)

// maxHook is the length of a meeting_join_hook.
const maxHook = 255

// properties are those that Daily documents, with its defaults.
var properties = map[string]property{
	"nbf":                        {kind: moment},
	"exp":                        {kind: moment},
	"max_participants":           {kind: count, usual: "200"},
	"eject_at_room_exp":          {kind: truth, usual: "false"},
	"eject_after_elapsed":        {kind: seconds},
	"enable_knocking":            {kind: truth, usual: "false"},
	"enforce_unique_user_ids":    {kind: truth, usual: "false"},
	"enable_hidden_participants": {kind: truth, usual: "false"},
	"permissions":                {kind: rules},

	"enable_screenshare":   {kind: truth, usual: "true"},
	"start_video_off":      {kind: truth, usual: "false"},
	"start_audio_off":      {kind: truth, usual: "false"},
	"owner_only_broadcast": {kind: truth, usual: "false"},
	// Daily's Ruby client says "<not set>" unless it is told something else.
	"enable_recording": {kind: texts, usual: `"<not set>"`},
	"audio_only":       {kind: truth, usual: "false"},

	"enable_people_ui":                 {kind: truth},
	"enable_cpu_warning_notifications": {kind: truth},
	"enable_pip_ui":                    {kind: truth},
	"enable_emoji_reactions":           {kind: truth},
	"enable_hand_raising":              {kind: truth},
	"enable_prejoin_ui":                {kind: truth},
	"enable_live_captions_ui":          {kind: truth},
	"enable_network_ui":                {kind: truth},
	"enable_noise_cancellation_ui":     {kind: truth},
	"enable_breakout_rooms":            {kind: truth},
	"enable_video_processing_ui":       {kind: truth, usual: "true"},
	"enable_chat":                      {kind: truth, usual: "false"},
	"enable_shared_chat_history":       {kind: truth, usual: "true"},
	"enable_advanced_chat":             {kind: truth, usual: "false"},
	"lang":                             {kind: text, usual: `"en"`},

	"enable_mesh_sfu":                      {kind: truth},
	"sfu_switchover":                       {kind: number, usual: "0.5"},
	"enable_adaptive_simulcast":            {kind: truth, usual: "true"},
	"enable_multiparty_adaptive_simulcast": {kind: truth, usual: "false"},
	"experimental_optimize_large_calls":    {kind: truth},
	"geo":                                  {kind: text},
	"rtmp_geo":                             {kind: text},
	"disable_rtmp_geo_fallback":            {kind: truth, usual: "false"},
	"recordings_bucket":                    {kind: group},
	"transcription_bucket":                 {kind: group},
	"recordings_template":                  {kind: text},
	"transcription_template":               {kind: text},
	"enable_transcription_storage":         {kind: truth, usual: "false"},
	"auto_transcription_settings":          {kind: group},
	"enable_terse_logging":                 {kind: truth, usual: "false"},
	"meeting_join_hook":                    {kind: text, most: maxHook},
	"enable_dialout":                       {kind: truth, usual: "false"},
	"dialout_config":                       {kind: group},
	"sip":                                  {kind: group},
	"streaming_endpoints":                  {kind: list},
	"enable_raw_tracks_transcoded_audio":   {kind: truth},

	"max_app_message_size": {kind: characters}, // of domains
}

const (
	// maxProperties bounds a room's or a domain's properties, as JSON.
	maxProperties = 64 << 10
	// lastMoment is the end of the year 9999: what is later is no number of
	// seconds, but perhaps of milliseconds.
	lastMoment = 253402300799
	// longest is the longest time that is counted in seconds, a hundred years.
	longest = 100 * 366 * 24 * 3600
	// mostPeople is far above what a room holds.
	mostPeople = 1_000_000
	// mostCharacters is far above what a message may have.
	mostCharacters = 1 << 30
)

// A bag is properties by name. One that was taken back is not in it.
type bag map[string]json.RawMessage

// bagOf reads properties that were kept.
func bagOf(kept []byte) (b bag, err error) {
	if len(kept) == 0 {
		return bag{}, nil
	}
	err = json.Unmarshal(kept, &b)
	return b, err
}

// merge returns what is set once a request has been done. Null takes a property
// back. Times have to be such as they can be set now.
func (b bag) merge(o object, now time.Time) (bag, error) {
	sum := make(bag, len(b)+len(o.fields))
	for name, value := range b {
		sum[name] = value
	}
	for name, value := range o.fields {
		if !o.has(name) {
			delete(sum, name)
			continue
		}
		value, err := checked(name, value, now)
		if err != nil {
			return nil, err
		}
		sum[name] = value
	}
	if n := len(encode(sum)); n > maxProperties {
		return nil, invalid("the properties would have %d bytes, the limit is %d", n, maxProperties)
	}
	return sum, nil
}

// checked returns the value of a property as it is kept.
func checked(name string, value json.RawMessage, now time.Time) (json.RawMessage, error) {
	p, known := properties[name]
	if !known {
		return value, nil
	}
	should := func(what string) error {
		return invalid("%s was '%s' but should be %s", name, quoted(value), what)
	}
	switch p.kind {
	case truth:
		if s := string(value); s != "true" && s != "false" {
			return nil, should("a boolean")
		}
	case moment:
		n, ok := numberOf(value)
		if !ok || n < 0 || n > lastMoment {
			return nil, should("a number of seconds since the unix epoch")
		}
		if n = math.Floor(n); name == "exp" && !time.Unix(int64(n), 0).After(now) {
			return nil, invalid("exp was '%s', which is in the past rather than in the future", quoted(value))
		}
		return strconv.AppendInt(nil, int64(n), 10), nil
	case seconds:
		n, ok := numberOf(value)
		if !ok || n < 0 || n > longest {
			return nil, should("a number of seconds")
		}
		return strconv.AppendInt(nil, int64(n), 10), nil // cut off, as with tokens
	case count:
		n, ok := numberOf(value)
		if !ok || n < 0 || n > mostPeople || n != math.Trunc(n) {
			return nil, should("a number of participants")
		}
		return strconv.AppendInt(nil, int64(n), 10), nil
	case characters:
		n, ok := numberOf(value)
		if !ok || n < 1 || n > mostCharacters || n != math.Trunc(n) {
			return nil, should("a number of characters")
		}
		return strconv.AppendInt(nil, int64(n), 10), nil
	case number:
		if _, ok := numberOf(value); !ok {
			return nil, should("a number")
		}
	case text:
		s, err := textOf(name, value)
		if err != nil {
			return nil, should("a string")
		}
		if p.most > 0 && len([]rune(s)) > p.most {
			return nil, invalid("%s has more than %d characters", name, p.most)
		}
	case group:
		if value[0] != '{' {
			return nil, should("an object")
		}
	case list:
		if value[0] != '[' {
			return nil, should("a list")
		}
	case texts:
		var several []string
		if value[0] != '"' && (value[0] != '[' || json.Unmarshal(value, &several) != nil) {
			return nil, should("a string or a list of strings")
		}
	case rules:
		if _, err := daily.ParsePermissions(value, roomLayer); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// numberOf returns a JSON number.
func numberOf(value json.RawMessage) (n float64, ok bool) {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(value), 64)
	return n, err == nil
}

// quoted is a value as Daily's errors show it: text without its quotes.
func quoted(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		s = string(value)
	}
	return clip(s)
}

// config is what of the properties differs from the defaults.
func (b bag) config() bag {
	shown := make(bag, len(b))
	for name, value := range b {
		if usual := properties[name].usual; usual == "" || !same(value, usual) {
			shown[name] = value
		}
	}
	return shown
}

// same reports whether two JSON values mean the same.
func same(a json.RawMessage, b string) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// is reports whether a property that is a boolean is true.
func (b bag) is(name string) bool { return string(b[name]) == "true" }

// said returns a boolean that was set, or nil.
func (b bag) said(name string) *bool {
	value, ok := b[name]
	if !ok {
		return nil
	}
	is := string(value) == "true"
	return &is
}

// whole returns a whole number, 0 when it is not set.
func (b bag) whole(name string) int64 {
	n, _ := strconv.ParseInt(string(b[name]), 10, 64)
	return n
}

// appMessage is how many characters an app message may have.
func (b bag) appMessage() int {
	return cmp.Or(int(b.whole("max_app_message_size")), maxAppMessage)
}

// at returns a moment, zero when it is not set.
func (b bag) at(name string) time.Time {
	if _, ok := b[name]; !ok {
		return time.Time{}
	}
	return time.Unix(b.whole(name), 0)
}

// roomLayer is what rooms' permissions are called in explanations.
const roomLayer = "room"

// settings is what the properties, which have been checked, mean here.
func (b bag) settings(private bool) (room.DailySettings, error) {
	s := room.DailySettings{
		Private:         private,
		NotBefore:       b.at("nbf"),
		Expires:         b.at("exp"),
		MaxParticipants: int(b.whole("max_participants")),
		EjectAtExpiry:   b.is("eject_at_room_exp"),
		EjectAfter:      time.Duration(b.whole("eject_after_elapsed")) * time.Second,
		Knocking:        b.is("enable_knocking"),
		UniqueUsers:     b.is("enforce_unique_user_ids"),
		Permissions:     auth.Say{Layer: roomLayer},
		Start: auth.Start{
			VideoOff: b.said("start_video_off"), AudioOff: b.said("start_audio_off"), ScreenShare: b.said("enable_screenshare"),
		},
		Properties: encode(b),
	}
	if raw, ok := b["permissions"]; ok {
		say, err := daily.ParsePermissions(raw, roomLayer)
		if err != nil {
			return s, err
		}
		s.Permissions = say
	}
	// What takes more goes before what takes less, wherever it is said.
	if b.is("enable_hidden_participants") {
		s.Permissions = s.Permissions.Then(auth.Say{Allow: auth.Hidden | auth.ReceiveOnlyOwners})
	}
	if b.is("owner_only_broadcast") {
		s.Permissions = s.Permissions.Then(auth.Say{Deny: auth.SendTracks})
	}
	return s, nil
}

// encode writes JSON as it is kept and answered: compact, and without escapes for
// HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// letters are those of the names that are made here.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// maxName is the longest name of a room.
const maxName = 128

// checkName checks the name of a room that is to be made.
func checkName(name string) error {
	good := func(c rune) bool { return c == '-' || c == '_' || c < 128 && strings.ContainsRune(letters, c) }
	switch {
	case slices.ContainsFunc([]rune(name), func(c rune) bool { return !good(c) }):
		return invalid("%s contains invalid characters (room names can contain A-Z, a-z, 0-9, '-', and '_')", clip(name))
	case len(name) > maxName:
		return invalid("%s is too long (room names can have %d characters)", clip(name), maxName)
	}
	return nil
}
