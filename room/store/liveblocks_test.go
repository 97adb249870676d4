package store_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"usher/auth"
	"usher/room/store"
)

// A room's Liveblocks part is read as it was written, lists and texts apart.
func TestLiveblocksPartRoundTrip(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	r := &store.Room{ID: "R_1", Project: "acme", Name: "hall", Renamed: now, Liveblocks: &store.LiveblocksRoom{
		Organization: "default", Created: now, Changed: now, LastConnection: now, Revision: 7,
		Metadata: map[string]store.Metadatum{"text": {Text: "a"}, "empty": {}, "list": {List: []string{"a", ""}}, "none": {List: []string{}}},
		Access:   auth.AccessList{Default: []string{}, Groups: map[string][]string{"g": {"*:read"}}, Users: map[string][]string{"u": {}}},
	}}
	s := store.NewMemory()
	if err := s.Commit(r.Put(), store.Setting{Key: "k", Value: []byte{0, 255}}.Put(), store.Setting{Key: "empty", Value: []byte{}}.Put()).Wait(); err != nil {
		t.Fatal(err)
	}
	var got []*store.Room
	if err := store.LoadRooms(s, func(r *store.Room) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], r) {
		t.Errorf("got %+v, want %+v", got[0].Liveblocks, r.Liveblocks)
	}
	settings := map[string][]byte{}
	if err := store.LoadSettings(s, func(kept store.Setting) error { settings[kept.Key] = kept.Value; return nil }); err != nil {
		t.Fatal(err)
	}
	if want := map[string][]byte{"k": {0, 255}, "empty": {}}; !reflect.DeepEqual(settings, want) {
		t.Errorf("got the settings %v, want %v", settings, want)
	}
	if err := s.Commit(store.Setting{Key: "k"}.Delete()).Wait(); err != nil {
		t.Fatal(err)
	}
	_ = store.LoadSettings(s, func(kept store.Setting) error {
		if kept.Key == "k" {
			t.Error("it was deleted")
		}
		return nil
	})
}

func TestMetadatum(t *testing.T) {
	for text, want := range map[string]*store.Metadatum{
		`"a"`: {Text: "a"}, `""`: {}, `[]`: {List: []string{}}, `["a","b"]`: {List: []string{"a", "b"}},
		`1`: nil, `null`: nil, `{}`: nil, `true`: nil, `[1]`: nil, `[null]`: nil, `[["a"]]`: nil,
	} {
		// In its place, as null is not handed to what stands alone.
		var got map[string]store.Metadatum
		err := json.Unmarshal([]byte(`{"k":`+text+`}`), &got)
		if (err == nil) != (want != nil) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want == nil {
			continue
		}
		if !reflect.DeepEqual(got["k"], *want) {
			t.Errorf("%s: got %+v", text, got["k"])
		}
		if again, err := json.Marshal(got["k"]); err != nil || string(again) != text {
			t.Errorf("%s is written as %s, %v", text, again, err)
		}
	}
}

// A setting at the wrong place, or without a value, stops the start.
func TestDamagedSettings(t *testing.T) {
	for _, value := range []string{`{"key":"other","value":"AA=="}`, `{"key":"k"}`, `{"key":"k","value":"?"}`, `1`} {
		s := store.NewMemory()
		if err := s.Commit(store.Change{Bucket: store.Settings, Key: "k", Value: []byte(value)}).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := store.LoadSettings(s, func(store.Setting) error { return nil }); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
