package liveblocks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"usher/room"
)

var isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// same reports whether got is a room with exactly those members, besides the
// time it was made at.
func same(t *testing.T, got answer, want string) {
	t.Helper()
	fields := make(map[string]any)
	for k, v := range got.Fields {
		fields[k] = v
	}
	if at, _ := fields["createdAt"].(string); !isoTime.MatchString(at) {
		t.Errorf("createdAt: got %q, want an ISO time", at)
	}
	delete(fields, "createdAt")
	delete(fields, "tenantId")
	if got.Get("tenantId") != got.Get("organizationId") {
		t.Errorf("tenantId: got %v, want %v", got.Get("tenantId"), got.Get("organizationId"))
	}
	var expected map[string]any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	expected["type"] = "room"
	if got.status != http.StatusOK || !reflect.DeepEqual(fields, expected) {
		t.Errorf("got %d %s, want %s", got.status, got.Text, want)
	}
}

func TestCreate(t *testing.T) {
	s := serve(t)
	const private = `{"id":"a","organizationId":"default","metadata":{},"defaultAccesses":[],"usersAccesses":{},"groupsAccesses":{}}`
	same(t, s.call("POST", "/rooms", `{"id":"a","defaultAccesses":[]}`), private)
	same(t, s.call("GET", "/rooms/a", ""), private)

	const full = `{"id":"b","organizationId":"acme","metadata":{"type":"board","tags":["x","y"],"none":[]},
		"defaultAccesses":["room:read","room:presence:write"],
		"usersAccesses":{"ada":["room:write"],"bob":[]},"groupsAccesses":{"eng":["*:write","comments:read"]}}`
	same(t, s.call("POST", "/rooms", `{"id":"b","organizationId":"acme","metadata":{"type":"board","tags":["x","y"],"none":[]},
		"defaultAccesses":["room:read","room:presence:write"],"engine":2,
		"usersAccesses":{"ada":["room:write"],"bob":[]},"groupsAccesses":{"eng":["*:write","comments:read"]}}`), full)
	same(t, s.call("GET", "/rooms/b", ""), full)

	if got := s.must("POST", "/rooms", `{"id":"c","defaultAccesses":[],"tenantId":"beta"}`).Str("organizationId"); got != "beta" {
		t.Errorf("tenantId: got %q, want beta", got)
	}
	if got := s.must("POST", "/rooms", `{"id":"d","defaultAccesses":[],"tenantId":"beta","organizationId":"acme"}`).Str("organizationId"); got != "acme" {
		t.Errorf("both names: got %q, want acme", got)
	}
	// null is as if it had not been said.
	same(t, s.call("POST", "/rooms", `{"id":"e","defaultAccesses":["room:write"],"usersAccesses":null,"groupsAccesses":null,"metadata":null,"organizationId":null}`),
		`{"id":"e","organizationId":"default","metadata":{},"defaultAccesses":["room:write"],"usersAccesses":{},"groupsAccesses":{}}`)
}

func TestCreateTwice(t *testing.T) {
	s := serve(t)
	first := s.must("POST", "/rooms", `{"id":"a","defaultAccesses":[],"metadata":{"n":"1"}}`)
	s.call("POST", "/rooms", `{"id":"a","defaultAccesses":["room:write"]}`).want(t, 409, "ROOM_ALREADY_EXISTS", "a room with that id exists")
	s.call("POST", "/rooms?idempotent=false", `{"id":"a","defaultAccesses":["room:write"]}`).want(t, 409, "ROOM_ALREADY_EXISTS", "a room with that id exists")
	for _, query := range []string{"?idempotent", "?idempotent=", "?idempotent=true"} {
		if again := s.must("POST", "/rooms"+query, `{"id":"a","defaultAccesses":["room:write"],"metadata":{"n":"2"}}`); again.Text != first.Text {
			t.Errorf("%s: got %s, want the room as it was: %s", query, again.Text, first.Text)
		}
	}
	// A project is for itself.
	a := s.request("POST", "/v2/rooms", `{"id":"a","defaultAccesses":[]}`, "Authorization", "Bearer "+otherKey)
	if a.status != 200 {
		t.Errorf("in another project: got %d %s, want 200", a.status, a.Text)
	}
	if idempotent := s.must("POST", "/rooms?idempotent", `{"id":"new","defaultAccesses":["room:write"]}`); idempotent.Str("id") != "new" {
		t.Errorf("got %s, want a new room", idempotent.Text)
	}
}

func many(n int, entry string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(entry, i))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestCreateErrors(t *testing.T) {
	s := serve(t)
	tests := map[string]struct {
		body, code, message string
		status              int
	}{
		"no body":           {``, "INVALID_JSON", "the request has no body; it has to be JSON", 400},
		"no JSON":           {`{"id":`, "INVALID_JSON", "the request is not JSON: unexpected end of JSON input, at byte 6", 400},
		"more behind it":    {`{"id":"a","defaultAccesses":[]}{}`, "INVALID_JSON", "the request is not JSON: invalid character '{' after top-level value, at byte 32", 400},
		"no UTF-8":          {"{\"id\":\"\xff\"}", "INVALID_JSON", "the request is not UTF-8", 400},
		"no object":         {`[]`, "UNPROCESSABLE_ENTITY", "the request is not an object", 422},
		"null":              {`null`, "UNPROCESSABLE_ENTITY", "the request is not an object", 422},
		"no id":             {`{"defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY", "id is missing", 422},
		"empty id":          {`{"id":"","defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY", "id is missing", 422},
		"id of a number":    {`{"id":5,"defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY", "id is not a string", 422},
		"id with a star":    {`{"id":"a*","defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY", "id may not have a *, which stands for any text in access tokens", 422},
		"long id":           {`{"id":"` + strings.Repeat("a", 129) + `","defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY", "id exceeds the limit of 128 characters", 422},
		"no default":        {`{"id":"a"}`, "UNPROCESSABLE_ENTITY", "defaultAccesses is missing; [] makes a private room", 422},
		"default null":      {`{"id":"a","defaultAccesses":null}`, "UNPROCESSABLE_ENTITY", "defaultAccesses is missing; [] makes a private room", 422},
		"default text":      {`{"id":"a","defaultAccesses":"room:write"}`, "UNPROCESSABLE_ENTITY", "defaultAccesses is not a list of strings", 422},
		"default number":    {`{"id":"a","defaultAccesses":[1]}`, "UNPROCESSABLE_ENTITY", "defaultAccesses[0] is not a string", 422},
		"unknown word":      {`{"id":"a","defaultAccesses":["room:admin"]}`, "UNPROCESSABLE_ENTITY", `defaultAccesses: "room:admin" is not a permission`, 422},
		"no base":           {`{"id":"a","defaultAccesses":[],"usersAccesses":{"bob":["storage:write"]}}`, "UNPROCESSABLE_ENTITY", "usersAccesses.bob: a list of permissions must have exactly one of *:read and *:write (or room:read, room:write), or be empty; this one has 0", 422},
		"users a list":      {`{"id":"a","defaultAccesses":[],"usersAccesses":[]}`, "UNPROCESSABLE_ENTITY", "usersAccesses is not an object", 422},
		"groups wrong":      {`{"id":"a","defaultAccesses":[],"groupsAccesses":{"eng":"room:write"}}`, "UNPROCESSABLE_ENTITY", "groupsAccesses.eng is not a list of strings", 422},
		"metadata number":   {`{"id":"a","defaultAccesses":[],"metadata":{"n":1}}`, "UNPROCESSABLE_ENTITY", "metadata.n is neither a string nor a list of strings", 422},
		"metadata list":     {`{"id":"a","defaultAccesses":[],"metadata":{"n":[1]}}`, "UNPROCESSABLE_ENTITY", "metadata.n[0] is not a string", 422},
		"metadata text":     {`{"id":"a","defaultAccesses":[],"metadata":"x"}`, "UNPROCESSABLE_ENTITY", "metadata is not an object", 422},
		"organization":      {`{"id":"a","defaultAccesses":[],"organizationId":5}`, "UNPROCESSABLE_ENTITY", "organizationId is not a string", 422},
		"tenant":            {`{"id":"a","defaultAccesses":[],"tenantId":5}`, "UNPROCESSABLE_ENTITY", "tenantId is not a string", 422},
		"long organization": {`{"id":"a","defaultAccesses":[],"organizationId":"` + strings.Repeat("a", 129) + `"}`, "UNPROCESSABLE_ENTITY", "organizationId exceeds the limit of 128 characters", 422},
		"misspelt": {`{"id":"a","defaultAccesses":[],"userAccesses":{}}`, "UNPROCESSABLE_ENTITY",
			`unknown field "userAccesses"; there are id, defaultAccesses, groupsAccesses, usersAccesses, metadata, organizationId, tenantId, engine`, 422},
		"another case": {`{"ID":"a","defaultAccesses":[]}`, "UNPROCESSABLE_ENTITY",
			`unknown field "ID"; there are id, defaultAccesses, groupsAccesses, usersAccesses, metadata, organizationId, tenantId, engine`, 422},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.call("POST", "/rooms", test.body).want(t, test.status, test.code, test.message)
		})
	}
	if list := s.must("GET", "/rooms", ""); !strings.HasSuffix(list.Text, `"data":[]}`) {
		t.Errorf("after nothing but errors: got %s", list.Text)
	}
}

// What a record may hold is the same however it comes about: made, changed,
// made by upsert.
func TestRecordLimits(t *testing.T) {
	s := serve(t)
	long := func(n int) string { return strings.Repeat("ü", n) }
	fits := map[string]string{
		"metadata entries":  `"metadata":` + many(room.MaxMetadata, `"k%d":"v"`),
		"metadata key":      `"metadata":{"` + long(room.MaxMetadataKey) + `":"v"}`,
		"metadata value":    `"metadata":{"k":"` + long(room.MaxMetadataText) + `"}`,
		"metadata in list":  `"metadata":{"k":["` + long(room.MaxMetadataText) + `"]}`,
		"users":             `"usersAccesses":` + many(room.MaxListed, `"u%d":["*:read"]`),
		"user's name":       `"usersAccesses":{"` + long(room.MaxListedID) + `":["*:read"]}`,
		"groups":            `"groupsAccesses":` + many(room.MaxListed, `"g%d":["*:read"]`),
		"group's name":      `"groupsAccesses":{"` + long(room.MaxListedID) + `":["*:read"]}`,
		"nothing in a list": `"metadata":{"k":[]}`,
		"a long list":       `"metadata":{"k":["` + strings.Repeat(`x","`, room.MaxMetadataList-1) + `x"]}`,
	}
	exceeds := map[string]string{
		"metadata entries": `"metadata":` + many(room.MaxMetadata+1, `"k%d":"v"`),
		"metadata key":     `"metadata":{"` + long(room.MaxMetadataKey+1) + `":"v"}`,
		"metadata value":   `"metadata":{"k":"` + long(room.MaxMetadataText+1) + `"}`,
		"metadata in list": `"metadata":{"k":["` + long(room.MaxMetadataText+1) + `"]}`,
		"a long list":      `"metadata":{"k":["` + strings.Repeat(`x","`, room.MaxMetadataList) + `x"]}`,
		"users":            `"usersAccesses":` + many(room.MaxListed+1, `"u%d":["*:read"]`),
		"user's name":      `"usersAccesses":{"` + long(room.MaxListedID+1) + `":["*:read"]}`,
		"groups":           `"groupsAccesses":` + many(room.MaxListed+1, `"g%d":["*:read"]`),
		"group's name":     `"groupsAccesses":{"` + long(room.MaxListedID+1) + `":["*:read"]}`,
	}
	n := 0
	check := func(t *testing.T, fields string, ok bool) {
		t.Helper()
		n++
		id := fmt.Sprint(n)
		s.must("POST", "/rooms", `{"id":"`+id+`","defaultAccesses":[]}`)
		for _, a := range []answer{
			s.call("POST", "/rooms", `{"id":"`+id+`-new","defaultAccesses":[],`+fields+`}`),
			s.call("POST", "/rooms/"+id, `{`+fields+`}`),
			s.call("POST", "/rooms/"+id+"-update/upsert", `{"update":{`+fields+`}}`),
			s.call("POST", "/rooms/"+id+"-create/upsert", `{"update":{"defaultAccesses":[]},"create":{`+fields+`}}`),
		} {
			if ok && a.status != 200 || !ok && (a.status != 422 || a.Str("error") != "UNPROCESSABLE_ENTITY" || a.Str("message") == "") {
				t.Errorf("got %d %.300s", a.status, a.Text)
			}
		}
	}
	for name, fields := range fits {
		t.Run(name, func(t *testing.T) { check(t, fields, true) })
	}
	for name, fields := range exceeds {
		t.Run(name+", one more", func(t *testing.T) { check(t, fields, false) })
	}

	// What counts is what the room would hold.
	s.must("POST", "/rooms", `{"id":"full","defaultAccesses":[],"metadata":`+many(room.MaxMetadata, `"k%d":"v"`)+`}`)
	if a := s.call("POST", "/rooms/full", `{"metadata":{"more":"v"}}`); a.status != 422 {
		t.Errorf("the 51st: got %d %s", a.status, a.Text)
	}
	s.must("POST", "/rooms/full", `{"metadata":{"more":"v","k0":null}}`)
}

func TestUpdate(t *testing.T) {
	s := serve(t)
	const before = `"id":"a","defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},
		"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}`
	tests := map[string]struct{ change, want string }{
		"nothing": {`{}`, `{"id":"a","organizationId":"default",` + before[len(`"id":"a",`):] + `}`},
		"default": {`{"defaultAccesses":["room:write"]}`,
			`{"defaultAccesses":["room:write"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"default empty": {`{"defaultAccesses":[]}`,
			`{"defaultAccesses":[],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"default null": {`{"defaultAccesses":null}`,
			`{"defaultAccesses":[],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"one user": {`{"usersAccesses":{"bob":["*:write"],"eve":["*:read"]}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:write"],"eve":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"a user to nothing": {`{"usersAccesses":{"bob":[]}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":[]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"user removed": {`{"usersAccesses":{"bob":null,"nobody":null}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"users null": {`{"usersAccesses":null}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"users empty": {`{"usersAccesses":{}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"groups": {`{"groupsAccesses":{"ops":null,"qa":["*:read"]}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"qa":["*:read"]}}`},
		"groups null": {`{"groupsAccesses":null}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"board","tags":["x"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{}}`},
		"metadata": {`{"metadata":{"type":"text","new":["a","b"],"tags":null}}`,
			`{"defaultAccesses":["*:read"],"metadata":{"type":"text","new":["a","b"]},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"metadata null": {`{"metadata":null}`,
			`{"defaultAccesses":["*:read"],"metadata":{},"usersAccesses":{"ada":["*:write"],"bob":["*:read"]},"groupsAccesses":{"eng":["*:write"],"ops":["*:read"]}}`},
		"everything": {`{"defaultAccesses":null,"usersAccesses":null,"groupsAccesses":null,"metadata":null}`,
			`{"defaultAccesses":[],"metadata":{},"usersAccesses":{},"groupsAccesses":{}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &site{Server: s.For(t), log: s.log, metrics: s.metrics}
			s.must("POST", "/rooms", `{`+before+`}`)
			want := strings.Replace(test.want, "{", `{"id":"a","organizationId":"default",`, 1)
			same(t, s.call("POST", "/rooms/a", test.change), want)
			same(t, s.call("GET", "/rooms/a", ""), want)
			s.must("DELETE", "/rooms/a", "")
			// An upsert of a room that exists is an update.
			s.must("POST", "/rooms", `{`+before+`}`)
			if test.change != `{}` {
				same(t, s.call("POST", "/rooms/a/upsert", `{"update":`+test.change+`,"create":{"defaultAccesses":["room:write"],"metadata":{"unused":"x"},"organizationId":"unused"}}`), want)
			}
			s.must("DELETE", "/rooms/a", "")
		})
	}
}

func TestUpdateErrors(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"a","defaultAccesses":[]}`)
	s.call("POST", "/rooms/nowhere", `{"defaultAccesses":["*:read"]}`).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	s.call("POST", "/rooms/a", `{"usersAccesses":{"bob":["none"]}}`).want(t, 422, "UNPROCESSABLE_ENTITY", `usersAccesses.bob: "none" is not a permission`)
	s.call("POST", "/rooms/a", `{"organizationId":"acme"}`).want(t, 422, "UNPROCESSABLE_ENTITY",
		`unknown field "organizationId"; there are defaultAccesses, groupsAccesses, usersAccesses, metadata`)
	s.call("POST", "/rooms/a", `{"userAccesses":{"bob":null}}`).want(t, 422, "UNPROCESSABLE_ENTITY",
		`unknown field "userAccesses"; there are defaultAccesses, groupsAccesses, usersAccesses, metadata`)
	s.call("POST", "/rooms/a", ``).want(t, 400, "INVALID_JSON", "the request has no body; it has to be JSON")
	s.call("POST", "/rooms/a/upsert", `{}`).want(t, 422, "UNPROCESSABLE_ENTITY", "update is missing")
	s.call("POST", "/rooms/a/upsert", `{"update":{}}`).want(t, 422, "UNPROCESSABLE_ENTITY", "update names nothing to change")
	s.call("POST", "/rooms/a/upsert", `{"update":[]}`).want(t, 422, "UNPROCESSABLE_ENTITY", "update is not an object")
	s.call("POST", "/rooms/a/upsert", `{"update":{"metadata":{"a":1}}}`).want(t, 422, "UNPROCESSABLE_ENTITY", "update.metadata.a is neither a string nor a list of strings")
	s.call("POST", "/rooms/a/upsert", `{"update":{"x":1}}`).want(t, 422, "UNPROCESSABLE_ENTITY",
		`unknown field "update.x"; there are defaultAccesses, groupsAccesses, usersAccesses, metadata`)
	s.call("POST", "/rooms/a/upsert", `{"update":{"metadata":null},"create":{"defaultAccesses":["x"]}}`).want(t, 422, "UNPROCESSABLE_ENTITY", `create.defaultAccesses: "x" is not a permission`)
	s.call("POST", "/rooms/a%2A/upsert", `{"update":{"metadata":null}}`).want(t, 422, "UNPROCESSABLE_ENTITY",
		"the room id may not have a *, which stands for any text in access tokens")
	same(t, s.call("GET", "/rooms/a", ""), `{"id":"a","organizationId":"default","metadata":{},"defaultAccesses":[],"usersAccesses":{},"groupsAccesses":{}}`)
}

func TestUpsertMakes(t *testing.T) {
	s := serve(t)
	same(t, s.call("POST", "/rooms/a/upsert", `{"update":{"metadata":{"n":"1","gone":null},"usersAccesses":{"ada":["*:write"]}},
		"create":{"defaultAccesses":["*:read"],"metadata":{"n":"0","m":"0","gone":"0"},"tenantId":"acme","groupsAccesses":{"eng":["*:read"]}}}`),
		`{"id":"a","organizationId":"acme","metadata":{"n":"1","m":"0"},"defaultAccesses":["*:read"],"usersAccesses":{"ada":["*:write"]},"groupsAccesses":{"eng":["*:read"]}}`)
	same(t, s.call("POST", "/rooms/b/upsert", `{"update":{"metadata":{"n":"1"}}}`),
		`{"id":"b","organizationId":"default","metadata":{"n":"1"},"defaultAccesses":[],"usersAccesses":{},"groupsAccesses":{}}`)
	same(t, s.call("POST", "/rooms/c/upsert", `{"update":{"defaultAccesses":["*:write"]},"create":{"defaultAccesses":["*:read"]}}`),
		`{"id":"c","organizationId":"default","metadata":{},"defaultAccesses":["*:write"],"usersAccesses":{},"groupsAccesses":{}}`)
}

func TestDelete(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"a","defaultAccesses":["*:read"]}`)
	ada, _ := s.enter("a", s.identify(`{"userId":"ada"}`))
	if a := s.call("DELETE", "/rooms/a", ""); a.status != 204 || a.Text != "" {
		t.Errorf("got %d %q, want 204", a.status, a.Text)
	}
	ada.Closed()
	for _, call := range []string{"GET /rooms/a", "DELETE /rooms/a", "GET /rooms/a/prewarm", "GET /rooms/a/active-users", "GET /rooms/a/storage",
		`POST /rooms/a {}`, `POST /rooms/a/broadcast-event {}`, `POST /rooms/a/presence {"userId":"x","data":{}}`,
		`POST /rooms/a/update-room-id {"newRoomId":"b"}`, `POST /rooms/a/update-organization-id {"organizationId":"b"}`} {
		parts := append(strings.SplitN(call, " ", 3), "")
		s.call(parts[0], parts[1], parts[2]).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	}
	if code := s.refused("a", s.identify(`{"userId":"ada"}`)); code == 0 {
		t.Error("an ID token made a room")
	}
	s.must("POST", "/rooms", `{"id":"a","defaultAccesses":[]}`)
}

// Rooms of LiveKit are none of Liveblocks' until they get a part of its.
func TestOtherRooms(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "ada"))
	s.call("GET", "/rooms/lobby", "").want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	s.call("GET", "/rooms/lobby/active-users", "").want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	if list := s.must("GET", "/rooms", ""); !strings.HasSuffix(list.Text, `"data":[]}`) {
		t.Errorf("got %s, want no rooms", list.Text)
	}
	s.must("POST", "/rooms", `{"id":"lobby","defaultAccesses":[]}`)
	if got := s.must("GET", "/rooms/lobby/active-users", ""); got.Str("data") == "" || !strings.Contains(got.Text, `"id":"ada"`) {
		t.Errorf("got %s, want ada", got.Text)
	}
}

func TestRename(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"a","defaultAccesses":["*:read"],"metadata":{"n":"1"}}`)
	s.must("POST", "/rooms", `{"id":"taken","defaultAccesses":[]}`)
	ada, _ := s.enter("a", s.identify(`{"userId":"ada"}`))
	s.call("POST", "/rooms/a/update-room-id", `{"newRoomId":"taken"}`).want(t, 409, "ROOM_ALREADY_EXISTS", "a room with that id exists")
	s.call("POST", "/rooms/a/update-room-id", `{}`).want(t, 422, "UNPROCESSABLE_ENTITY", "newRoomId is missing")
	s.call("POST", "/rooms/a/update-room-id", `{"newRoomId":"b*"}`).want(t, 422, "UNPROCESSABLE_ENTITY",
		"newRoomId may not have a *, which stands for any text in access tokens")
	s.call("POST", "/rooms/a/update-room-id", `{"newRoomId":"`+strings.Repeat("b", 129)+`"}`).want(t, 422, "UNPROCESSABLE_ENTITY", "newRoomId exceeds the limit of 128 characters")
	s.call("POST", "/rooms/nowhere/update-room-id", `{"newRoomId":"b"}`).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	renamed := s.call("POST", "/rooms/a/update-room-id", `{"newRoomId":"acme:doc/1"}`)
	delete(renamed.Fields, "lastConnectionAt")
	same(t, renamed, `{"id":"acme:doc/1","organizationId":"default","metadata":{"n":"1"},"defaultAccesses":["*:read"],"usersAccesses":{},"groupsAccesses":{}}`)
	ada.Closed()
	s.call("GET", "/rooms/a", "").want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	s.must("GET", "/rooms/acme%3Adoc%2F1", "")
	s.enter("acme:doc/1", s.identify(`{"userId":"ada"}`))
}

func TestOrganizations(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"a","defaultAccesses":["*:read"],"organizationId":"acme"}`)
	s.must("POST", "/rooms", `{"id":"plain","defaultAccesses":["*:read"]}`)
	ofAcme := s.identify(`{"userId":"ada","organizationId":"acme"}`)
	ofNone := s.identify(`{"userId":"ada"}`)
	ofBeta := s.identify(`{"userId":"ada","tenantId":"beta"}`)
	ada, _ := s.enter("a", ofAcme)
	s.enter("plain", ofNone)
	for _, try := range [][2]string{{"a", ofNone}, {"a", ofBeta}, {"plain", ofAcme}} {
		if code := s.refused(try[0], try[1]); code == 0 {
			t.Errorf("%s was entered with a token of another organization", try[0])
		}
	}
	s.call("POST", "/rooms/a/update-organization-id", `{}`).want(t, 422, "UNPROCESSABLE_ENTITY", "toOrganizationId is missing")
	s.call("POST", "/rooms/a/update-organization-id", `{"toOrganizationId":"`+strings.Repeat("b", 129)+`"}`).want(t, 422, "UNPROCESSABLE_ENTITY", "toOrganizationId exceeds the limit of 128 characters")
	s.call("POST", "/rooms/a/update-organization-id", `{"fromOrganizationId":"beta","toOrganizationId":"gamma"}`).want(t, 409, "CONFLICT",
		"the room is not of the organization of fromOrganizationId")
	if got := s.must("POST", "/rooms/a/update-organization-id", `{"fromOrganizationId":"acme","toOrganizationId":"beta"}`); got.Str("organizationId") != "beta" {
		t.Errorf("got %s, want beta", got.Text)
	}
	ada.Closed()
	if code := s.refused("a", ofAcme); code == 0 {
		t.Error("a token of the organization before was let in")
	}
	s.enter("a", ofBeta)
	for _, body := range []string{`{"organizationId":"gamma"}`, `{"tenantId":"delta"}`} {
		var want map[string]string
		_ = json.Unmarshal([]byte(body), &want)
		got := s.must("POST", "/rooms/a/update-organization-id", body).Str("organizationId")
		if got != want["organizationId"]+want["tenantId"] {
			t.Errorf("%s: got %q", body, got)
		}
	}
}

// ids are the ids of the rooms of a page.
func ids(a answer) []string {
	list := []string{}
	data, _ := a.Get("data").([]any)
	for _, r := range data {
		list = append(list, r.(map[string]any)["id"].(string))
	}
	return list
}

func TestList(t *testing.T) {
	s := serve(t)
	for _, body := range []string{
		`{"id":"acme:1","defaultAccesses":[],"metadata":{"type":"board","n":"1"},"usersAccesses":{"ada":["*:read"]}}`,
		`{"id":"acme:2","defaultAccesses":[],"metadata":{"type":"text","n":"2"},"groupsAccesses":{"eng":["*:read"]}}`,
		`{"id":"beta:1","defaultAccesses":["*:read"],"metadata":{"type":"board","n":"30","tags":["x","y"]},"organizationId":"beta"}`,
		`{"id":"beta:2","defaultAccesses":[],"groupsAccesses":{"ops":["*:read"],"eng":[]},"usersAccesses":{"bob":["*:read"],"ada":[]}}`,
	} {
		s.must("POST", "/rooms", body)
	}
	a := s.request("POST", "/v2/rooms", `{"id":"acme:3","defaultAccesses":[]}`, "Authorization", "Bearer "+otherKey)
	if a.status != 200 {
		t.Fatal(a.Text)
	}
	tests := map[string][]string{
		"":                                   {"beta:2", "beta:1", "acme:2", "acme:1"},
		"?limit=2":                           {"beta:2", "beta:1"},
		"?userId=ada":                        {"acme:1"},
		"?userId=bob":                        {"beta:2"},
		"?userId=":                           {"beta:2", "beta:1", "acme:2", "acme:1"},
		"?userId=eve":                        {},
		"?groupIds=eng":                      {"acme:2"},
		"?groupIds=eng,ops":                  {"beta:2", "acme:2"},
		"?groupIds=eng&groupIds=ops":         {"beta:2", "acme:2"},
		"?userId=ada&groupIds=eng":           {"acme:2", "acme:1"},
		"?organizationId=beta":               {"beta:1"},
		"?tenantId=beta":                     {"beta:1"},
		"?organizationId=default":            {"beta:2", "acme:2", "acme:1"},
		"?organizationId=nobody":             {},
		"?metadata.type=board":               {"beta:1", "acme:1"},
		"?metadata.type=board&metadata.n=30": {"beta:1"},
		"?metadata.tags=y":                   {"beta:1"},
		"?metadata.missing=x":                {},
		"?query=roomId%5E%27acme%3A%27":      {"acme:2", "acme:1"},
		"?query=roomId%5E%27acme%3A%27%20AND%20metadata%5B%27type%27%5D%3A%27board%27": {"acme:1"},
		"?query=metadata%5B%22n%22%5D%3E1+metadata%5B%22n%22%5D%3C31":                  {"beta:1", "acme:2"},
		"?query=metadata%5B%27type%27%5D%3Anull":                                       {"beta:2"},
		"?query=roomId%5E%27acme%3A%27&userId=ada&metadata.type=board":                 {"acme:1"},
		"?query=roomId%5E%27acme%3A%27&organizationId=beta":                            {},
	}
	for query, want := range tests {
		got := s.must("GET", "/rooms"+query, "")
		if !slices.Equal(ids(got), want) {
			t.Errorf("%s: got %v, want %v", query, ids(got), want)
		}
		if got.Get("nextPage") != nil || (got.Get("nextCursor") != nil) != (query == "?limit=2") {
			t.Errorf("%s: got nextPage %v, nextCursor %v", query, got.Get("nextPage"), got.Get("nextCursor"))
		}
	}
	const limit = "limit is a number from 1 to 100"
	for query, want := range map[string]string{"?limit=0": limit, "?limit=101": limit, "?limit=-1": limit, "?limit=x": limit, "?limit=1.5": limit} {
		s.call("GET", "/rooms"+query, "").want(t, 422, "UNPROCESSABLE_ENTITY", want)
	}
	if a := s.call("GET", "/rooms?startingAfter=nonsense", ""); a.status != 422 || a.Str("message") == "" {
		t.Errorf("a cursor that is none: got %d %s, want 422", a.status, a.Text)
	}
	s.call("GET", "/rooms?query=roomId%3A", "").want(t, 422, "INVALID_QUERY",
		"query: expected a value: a string in quotes, a number, true, false or null at character 8")
	full := s.must("GET", "/rooms?limit=1", "")
	first := full.Get("data").([]any)[0].(map[string]any)
	one := s.must("GET", "/rooms/beta:2", "")
	if !reflect.DeepEqual(first, one.Fields) {
		t.Errorf("in the list: %v, alone: %v", first, one.Fields)
	}
}

// Pages hold together while rooms come and go between them: whatever is there all
// the time is shown once.
func TestPages(t *testing.T) {
	s := serve(t)
	var want []string
	for i := range 250 {
		id := fmt.Sprintf("room-%03d", i)
		s.must("POST", "/rooms", `{"id":"`+id+`","defaultAccesses":[]}`)
		if i%10 != 5 {
			want = append(want, id)
		}
	}
	slices.Reverse(want)
	var got []string
	cursor := ""
	for page := 0; ; page++ {
		a := s.must("GET", "/rooms?limit=37&startingAfter="+cursor, "")
		for _, id := range ids(a) {
			if strings.HasPrefix(id, "room-") && id[len(id)-1] != '5' {
				got = append(got, id)
			}
		}
		if a.Get("nextCursor") == nil {
			break
		}
		cursor = a.Str("nextCursor")
		if strings.Trim(cursor, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Fatalf("the cursor %q does not go into an address as it is", cursor)
		}
		s.must("POST", "/rooms", fmt.Sprintf(`{"id":"new-%d","defaultAccesses":[]}`, page))
		last := ids(a)[len(ids(a))-1]
		if last[len(last)-1] == '5' { // the cursor's own room is gone
			s.must("DELETE", "/rooms/"+last, "")
		}
		s.call("DELETE", fmt.Sprintf("/rooms/room-%03d", 245-page*40), "")
		if page > 20 {
			t.Fatal("the pages do not end")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d rooms %v, want %d", len(got), got, len(want))
	}
	if n := len(ids(s.must("GET", "/rooms", ""))); n != 20 {
		t.Errorf("without a limit: got %d, want 20", n)
	}
	if n := len(ids(s.must("GET", "/rooms?limit=100", ""))); n != 100 {
		t.Errorf("with the largest limit: got %d, want 100", n)
	}
}
