package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/room/store"
)

// A room's Daily part, a statement and a revocation are read as they were written.
func TestDailyPartRoundTrip(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	off, on := false, true
	say := auth.Say{Layer: "room", Allow: auth.SendCamera | auth.Hidden, Deny: auth.ModerateParticipants, AllFromIdentity: true,
		ReceiveFromIdentity: map[string]auth.Rights{"ada": auth.ReceiveCamera, "*": 0}, ReceiveFromParticipant: map[string]auth.Rights{"PA_1": auth.ReceiveTracks}}
	s := store.NewMemory()
	for name, part := range map[string]*store.DailyRoom{
		"least": {ID: "1", Created: now, Changed: now},
		"most": {ID: "2", Created: now, Changed: now, Private: true, NotBefore: now, Expires: now, MaxParticipants: 3, EjectAtExpiry: true,
			EjectAfter: time.Minute, Knocking: true, UniqueUsers: true, Permissions: store.Says{Say: say},
			Start: store.Start{VideoOff: &on, ScreenShare: &off}, Properties: json.RawMessage(`{"a":[1.0]}`), Revision: 4},
	} {
		r := &store.Room{ID: "R_" + name, Project: "acme", Name: name, Daily: part}
		if err := s.Commit(r.Put()).Wait(); err != nil {
			t.Fatal(err)
		}
		var got *store.Room
		if err := store.LoadRooms(s, func(r *store.Room) error { got = r; return nil }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v", name, got.Daily, r.Daily)
		}
		if err := s.Commit(r.Delete()).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	say.Layer = auth.Live
	kept := store.NewStatement(say, now, "RM_1", "me")
	text, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var again store.Statement
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Say(); err != nil || !reflect.DeepEqual(got, say) {
		t.Errorf("%s is %+v, %v", text, got, err)
	}
	if !strings.Contains(string(text), `"receiveFromParticipant":{"PA_1":[`) || !strings.Contains(string(text), `"allFromIdentity":true`) || strings.Contains(string(text), "allFromParticipant") {
		t.Errorf("a statement is written as %s", text)
	}
	rv := &store.Revocation{ID: "RV_1", Project: "acme", Room: "x", Naming: true, Until: 7, Made: now}
	if err := s.Commit(rv.Put()).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := store.LoadRevocations(s, func(r *store.Revocation) error {
		if !reflect.DeepEqual(r, rv) {
			t.Errorf("got %+v", r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A part that cannot be one stops the start: nothing of it is left out, for that
// would open the room, or allow what was denied.
func TestDamagedDailyParts(t *testing.T) {
	const part = `"id":"u","created":"2026-01-01T00:00:00Z"`
	for name, c := range map[string]struct {
		daily string
		sound bool
	}{
		"sound":                 {`{` + part + `}`, true},
		"sound properties":      {`{` + part + `,"properties":{"a":1}}`, true},
		"no id":                 {`{"created":"2026-01-01T00:00:00Z"}`, false},
		"no time":               {`{"id":"u"}`, false},
		"no times":              {`{` + part + `,"expires":"soon"}`, false},
		"fewer than nobody":     {`{` + part + `,"maxParticipants":-1}`, false},
		"a stay below 0":        {`{` + part + `,"ejectAfter":-1}`, false},
		"properties, a list":    {`{` + part + `,"properties":[1]}`, false},
		"properties, a text":    {`{` + part + `,"properties":"{}"}`, false},
		"private, a number":     {`{` + part + `,"private":1}`, false},
		"a right of the future": {`{` + part + `,"permissions":{"deny":["fly"]}}`, false},
		"allowed, too":          {`{` + part + `,"permissions":{"allow":["fly"]}}`, false},
		"in an exception":       {`{` + part + `,"permissions":{"receiveFromIdentity":{"a":["fly"]}}}`, false},
		"of a participant":      {`{` + part + `,"permissions":{"receiveFromParticipant":{"a":["fly"]}}}`, false},
		"permissions, a list":   {`{` + part + `,"permissions":[]}`, false},
		"a start that is none":  {`{` + part + `,"start":{"videoOff":"yes"}}`, false},
		"no part":               {`7`, false},
	} {
		s := store.NewMemory()
		if err := s.Commit(store.Change{Bucket: store.RoomRecords, Key: "R_1", Value: []byte(`{"id":"R_1","project":"p","name":"n","daily":` + c.daily + `}`)}).Wait(); err != nil {
			t.Fatal(err)
		}
		err := store.LoadRooms(s, func(*store.Room) error { return nil })
		if (err == nil) != c.sound || err != nil && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is damaged in a file is refused at the start, by name.
func TestDamagedDailyRecordsAreNamed(t *testing.T) {
	dir := t.TempDir()
	f, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &store.Room{ID: "R_1", Project: "acme", Name: "hall", Daily: &store.DailyRoom{ID: "some-uuid", Created: time.Now(), Private: true}}
	m := store.Change{Bucket: store.Meetings, Key: "meeting-one", Value: []byte(`{"who":"ada"}`)}
	if err := f.Commit(r.Put(), m).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	whole := read(t, db(dir))
	spoil(t, dir, `"some-uuid"`)
	mustRefuse(t, dir, `record "R_1" in rooms is broken: its checksum does not match`, db(dir))
	write(t, db(dir), whole)
	spoil(t, dir, `{"who":"ada"}`)
	mustRefuse(t, dir, `record "meeting-one" in meetings is broken: its checksum does not match`, db(dir))
	write(t, db(dir), whole)
	f = open(t, dir)
	if err := f.Load(store.Meetings, func(key string, value []byte) error {
		if key != m.Key || !bytes.Equal(value, m.Value) {
			t.Errorf("%s is %s", key, value)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What is a secret is not exported: keys to sign with, what webhooks prove themselves by.
func TestSecretSettingsAreNotShown(t *testing.T) {
	dir := t.TempDir()
	f, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var changes []store.Change
	for _, key := range []string{"daily/secret/acme", "daily/webhook/acme/1", "liveblocks/secret/acme"} {
		changes = append(changes, store.Setting{Key: key, Value: []byte("a secret")}.Put())
	}
	changes = append(changes, store.Setting{Key: "daily/domain/acme", Value: []byte("no secret")}.Put())
	if err := f.Commit(changes...).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := store.Export(dir, &out); err != nil {
		t.Fatal(err)
	}
	secret, _ := json.Marshal([]byte("a secret"))
	plain, _ := json.Marshal([]byte("no secret"))
	if bytes.Contains(out.Bytes(), bytes.Trim(secret, `"`)) || !bytes.Contains(out.Bytes(), bytes.Trim(plain, `"`)) || bytes.Count(out.Bytes(), []byte(`[secret]`)) != 3 {
		t.Errorf("exported: %s", out.Bytes())
	}
}
