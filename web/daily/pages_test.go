package daily_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// §2.2: pages of rooms, the newest first, by cursors.
func TestPages(t *testing.T) {
	s := serve(t)
	var names, ids []string // the newest first
	var bodies []string
	for i := range 250 {
		name := fmt.Sprintf("r%03d", i)
		bodies = append(bodies, fmt.Sprintf(`{"name":%q}`, name))
	}
	// Some one by one, some in a batch, in which all are equally old.
	for _, b := range bodies[:150] {
		s.must("POST", "/rooms", b)
	}
	s.must("POST", "/batch/rooms", `{"rooms":[`+strings.Join(bodies[150:], ",")+`]}`)
	page := func(query string) (list []string, id []string, total int) {
		t.Helper()
		a := s.must("GET", "/rooms"+query, "")
		var p struct {
			Total int `json:"total_count"`
			Data  []struct{ ID, Name, CreatedAt string }
		}
		if err := json.Unmarshal([]byte(a.Text), &p); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Data {
			list, id = append(list, r.Name), append(id, r.ID)
		}
		return list, id, p.Total
	}
	walk := func(limit int) (names, ids []string) {
		t.Helper()
		query := fmt.Sprintf("?limit=%d", limit)
		for {
			list, id, total := page(query)
			if total != 250 {
				t.Fatalf("total_count is %d, want 250", total)
			}
			if len(list) == 0 {
				return names, ids
			}
			if len(list) > limit {
				t.Fatalf("got %d rooms, want at most %d", len(list), limit)
			}
			names, ids = append(names, list...), append(ids, id...)
			query = fmt.Sprintf("?limit=%d&starting_after=%s", limit, id[len(id)-1])
		}
	}
	names, ids = walk(100)
	if sorted := slices.Sorted(slices.Values(names)); len(names) != 250 || len(slices.Compact(sorted)) != 250 {
		t.Fatalf("got %d rooms, want 250 different ones", len(names))
	}
	for _, limit := range []int{1, 7, 50, 99} {
		if again, _ := walk(limit); !slices.Equal(again, names) {
			t.Errorf("limit %d: another order", limit)
		}
	}
	if first, _, _ := page(""); !slices.Equal(first, names[:100]) {
		t.Error("without a limit there have to be the first 100")
	}
	for _, c := range []struct {
		query    string
		from, to int
	}{
		{"?limit=10&ending_before=" + ids[50], 40, 50}, {"?limit=10&ending_before=" + ids[5], 0, 5}, {"?limit=10&ending_before=" + ids[0], 0, 0},
		{"?limit=10&starting_after=" + ids[245], 246, 250}, {"?limit=10&ending_before=OLDEST", 240, 250}, {"?ending_before=OLDEST", 150, 250},
	} {
		if got, _, _ := page(c.query); !slices.Equal(got, names[c.from:c.to]) {
			t.Errorf("%s: got %v, want %v", c.query, got, names[c.from:c.to])
		}
	}
	// Rooms that go between two pages, and such as come, move nobody. Of what is as
	// old to the second the id decides, so the new one may be anywhere.
	first, firstIDs, _ := page("?limit=100")
	for _, name := range append(slices.Clone(names[:50]), names[120:130]...) {
		s.must("DELETE", "/rooms/"+name, "")
	}
	s.must("POST", "/rooms", `{"name":"new"}`)
	second, _, total := page("?limit=100&starting_after=" + firstIDs[99])
	second = slices.DeleteFunc(second, func(name string) bool { return name == "new" })
	want := append(slices.Clone(names[100:120]), names[130:]...)
	if !slices.Equal(second, want[:len(second)]) || len(second) < 99 || total != 191 || len(first) != 100 {
		t.Errorf("got %v of %d", second, total)
	}
	for query, info := range map[string]string{
		"?limit=0": "limit was '0' but should be a number from 1 to 100", "?limit=101": "limit was '101' but should be a number from 1 to 100",
		"?limit=x": "limit was 'x' but should be a number from 1 to 100", "?limit=-1": "limit was '-1' but should be a number from 1 to 100",
		"?starting_after=" + ids[200] + "&ending_before=" + ids[200]: "there may be starting_after or ending_before, not both",
	} {
		s.call("GET", "/rooms"+query, "").want(t, 400, "invalid-request-error", info)
	}
	for _, query := range []string{"?starting_after=nobody", "?ending_before=nobody"} {
		if a := s.call("GET", "/rooms"+query, ""); a.status != 400 || a.Str("error") != "invalid-request-error" || a.Str("info") == "" {
			t.Errorf("%s: got %d %s", query, a.status, a.Text)
		}
	}
}

// §2.2: who deletes page by page goes on after the last one that is gone.
func TestPagesOfDeletedRooms(t *testing.T) {
	s := serve(t)
	s.must("POST", "/batch/rooms", `{"rooms":[`+strings.Repeat("{},", 24)+`{}]}`)
	var deleted []string
	for query := "?limit=10"; ; {
		var p struct{ Data []struct{ ID, Name string } }
		if err := json.Unmarshal([]byte(s.must("GET", "/rooms"+query, "").Text), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Data) == 0 {
			break
		}
		for _, r := range p.Data {
			s.must("DELETE", "/rooms/"+r.Name, "")
			deleted = append(deleted, r.ID)
		}
		query = "?limit=10&starting_after=" + p.Data[len(p.Data)-1].ID
	}
	if slices.Sort(deleted); len(slices.Compact(deleted)) != 25 {
		t.Errorf("deleted %d rooms, want 25", len(deleted))
	}
	s.must("GET", "/rooms?ending_before="+deleted[0], "").is(t, 200, `{"total_count":0,"data":[]}`)
}
