package sdk_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"usher/auth"
	"usher/auth/liveblocks"
)

// A question is what the client's functions and ours are asked: whether a list may
// be stored, what an access list gives to somebody, or what a token's patterns give
// in a room. One of Valid, Patterns and Default is not nil.
type question struct {
	Valid []string `json:"valid,omitempty"`

	Default []string            `json:"default,omitzero"`
	Groups  map[string][]string `json:"groups,omitzero"`
	Users   map[string][]string `json:"users,omitzero"`
	User    string              `json:"user,omitempty"`
	IDs     []string            `json:"ids,omitzero"` // groups of the user

	Patterns map[string][]string `json:"patterns,omitempty"`
	Room     string              `json:"room,omitempty"`
}

var (
	bases    = []string{"*:read", "*:write", "room:read", "room:write"}
	features = []string{"storage", "comments", "comments:public", "comments:private", "feeds"}
	levels   = []string{"none", "read", "write"}
)

// words are some permission strings that the client knows.
func words(random *rand.Rand) []string {
	list := []string{}
	for range random.IntN(6) {
		switch random.IntN(8) {
		case 0, 1:
			list = append(list, bases[random.IntN(len(bases))])
		case 2:
			list = append(list, "room:presence:write")
		default:
			list = append(list, features[random.IntN(len(features))]+":"+levels[random.IntN(len(levels))])
		}
	}
	return list
}

// stored is a list as a room may have it.
func stored(random *rand.Rand) []string {
	if random.IntN(4) == 0 {
		return []string{}
	}
	list := []string{bases[random.IntN(len(bases))]}
	for _, f := range features {
		if random.IntN(3) == 0 {
			list = append(list, f+":"+levels[random.IntN(len(levels))])
		}
	}
	if random.IntN(4) == 0 {
		list = append(list, "room:presence:write")
	}
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func ask(random *rand.Rand) question {
	list := stored
	if random.IntN(2) == 0 {
		list = words
	}
	switch random.IntN(5) {
	case 0:
		q := question{Valid: words(random)}
		if len(q.Valid) == 0 { // [] is for rooms, which the function is not asked about
			q.Valid = []string{"*:read"}
		}
		return q
	case 1:
		q := question{Patterns: map[string][]string{}, Room: "acme:doc:1"}
		patterns := []string{"*", "a*", "acme:*", "acme:d*", "acme:doc:1", "acme:doc:1*", "acme:doc:12", "b*", "acme:doc:*"}
		for range 1 + random.IntN(5) {
			q.Patterns[patterns[random.IntN(len(patterns))]] = list(random)
		}
		return q
	}
	q := question{Default: list(random), Groups: map[string][]string{}, Users: map[string][]string{}, User: "bob", IDs: []string{}}
	for _, g := range []string{"g1", "g2", "g3"} {
		if random.IntN(2) == 0 {
			q.Groups[g] = list(random)
		}
		if random.IntN(2) == 0 {
			q.IDs = append(q.IDs, g)
		}
	}
	if random.IntN(2) == 0 {
		q.Users["bob"] = list(random)
	}
	q.Users["eve"] = list(random)
	return q
}

// ours is what usher answers.
func (q *question) ours() []string {
	switch {
	case q.Valid != nil:
		if liveblocks.ParseList(q.Valid) != nil {
			return []string{"invalid"}
		}
		return nil
	case q.Patterns != nil:
		return liveblocks.ResolvePatterns(q.Patterns, q.Room)
	}
	return liveblocks.Resolve(&auth.AccessList{Default: q.Default, Groups: q.Groups, Users: q.Users}, q.User, q.IDs)
}

// What a list or a token gives is what the client's own functions say.
func TestResolution(t *testing.T) {
	n := map[string]int{"soak": 500_000, "usual": 20_000, "short": 2_000}[size()]
	random := rand.New(rand.NewPCG(uint64(seed(t)), 0))
	questions := make([]question, n)
	for i := range questions {
		questions[i] = ask(random)
	}
	asked, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var answers [][]string
	played := suite.Player(t).Play("resolution", map[string]any{"url": "http://127.0.0.1:1"}, func(ask string) (string, error) {
		if ask == "questions" {
			return string(asked), nil
		}
		return "", json.Unmarshal([]byte(ask), &answers)
	})
	if err := <-played; err != nil {
		t.Fatal(err)
	}
	if len(answers) != n {
		t.Fatalf("%d answers to %d questions", len(answers), n)
	}
	different := map[string]bool{}
	for i, q := range questions {
		got, want := q.ours(), answers[i]
		if slices.Compare(got, want) != 0 {
			text, _ := json.Marshal(q)
			t.Errorf("%s: got %v, the client says %v", text, got, want)
		}
		text, _ := json.Marshal(want)
		different[string(text)] = true
	}
	t.Logf("%d questions had %d different answers", n, len(different))
	if len(different) < 100 {
		t.Error("the questions are too much alike")
	}
}
