package liveblocks_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"usher/auth"
	"usher/auth/liveblocks"
)

// TestPermissionTables holds the server to testdata/permissions.md, which is
// there to be read. Each row is asked of what tells lists and of the layers
// that decide.
func TestPermissionTables(t *testing.T) {
	listed, patterned := 0, 0
	for _, row := range rows(t, "testdata/permissions.md") {
		want := strings.Join(row.cells[len(row.cells)-4:], "|")
		if strings.HasPrefix(want, "out|") {
			want = "out"
		}
		var (
			rights   auth.Rights
			present  bool
			shortest []string
		)
		switch len(row.cells) {
		case 8: // everyone, groups, people, who comes
			listed++
			list := &auth.AccessList{Default: words(row.cells[0]), Groups: entries(row.cells[1]), Users: entries(row.cells[2])}
			if row.cells[0] == "(no list)" {
				list = nil
			}
			user, in, _ := strings.Cut(row.cells[3], " in ")
			var groups []string
			if in != "" {
				groups = strings.Split(in, ", ")
			}
			g := grantOf(t, liveblocks.IDToken{User: user, Groups: groups})
			says := format.Base(g, "lab", auth.RoomRules{List: list})
			rights, present = auth.Resolve(says...).Rights, len(says) > 0
			shortest = liveblocks.Resolve(list, user, groups)
		case 6: // permissions, room
			patterned++
			permissions := entries(row.cells[0])
			g := grantOf(t, liveblocks.AccessToken{User: "ada", Permissions: permissions})
			says := format.Base(g, row.cells[1], auth.RoomRules{List: open("*:write")}) // the list does not matter
			rights, present = auth.Resolve(says...).Rights, len(says) > 0
			shortest = liveblocks.ResolvePatterns(permissions, row.cells[1])
		default:
			t.Fatalf("line %d has %d cells", row.line, len(row.cells))
		}
		if got := may(rights, present); got != want {
			t.Errorf("line %d: may %s, want %s", row.line, got, want)
		}
		if (len(shortest) > 0) != present || shortest == nil {
			t.Errorf("line %d: told as %q", row.line, shortest)
		}
		if !present {
			continue
		}
		// What is told, today and in the list's own words, means the same to
		// whoever reads it.
		for _, told := range [][]string{shortest, liveblocks.Scopes(auth.Permission{Rights: rights})} {
			if got := rightsIn(grantOf(t, liveblocks.IDToken{User: "x"}), "lab", open(told...)); got != rights {
				t.Errorf("line %d: told as %q, which is %s, not %s", row.line, told, names(got), names(rights))
			}
			if err := liveblocks.ParseList(told); err != nil {
				t.Errorf("line %d: told as %q: %v", row.line, told, err)
			}
		}
		if told := liveblocks.Scopes(auth.Permission{Rights: rights}); len(told) > len(shortest) {
			t.Errorf("line %d: told as %q, and %q is shorter", row.line, told, shortest)
		}
	}
	if listed < 60 || patterned < 20 {
		t.Errorf("the tables have %d and %d rows", listed, patterned)
	}
}

type row struct {
	line  int
	cells []string
}

// rows reads the tables of a page.
func rows(t *testing.T, file string) (list []row) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n, head := 1, true; lines.Scan(); n++ {
		text, inTable := strings.CutPrefix(lines.Text(), "|")
		switch {
		case !inTable:
			head = true
		case strings.HasPrefix(text, "---"):
			head = false
		case !head:
			cells := strings.Split(strings.TrimSuffix(text, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			list = append(list, row{n, cells})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func words(cell string) []string {
	if cell == "[]" || cell == "(no list)" {
		return []string{}
	}
	return strings.Fields(cell)
}

// entries reads "team: *:read; guests: []".
func entries(cell string) map[string][]string {
	m := map[string][]string{}
	for entry := range strings.SplitSeq(cell, "; ") {
		if id, list, ok := strings.Cut(entry, ": "); ok {
			m[id] = words(list)
		}
	}
	return m
}

// may says what rights are in the words of the table.
func may(r auth.Rights, present bool) string {
	if !present {
		return "out"
	}
	if !r.Has(auth.SendPresence | auth.ReceiveTracks | auth.SendData) {
		return "in, and not there"
	}
	if r.Any(auth.SendTracks | auth.UpdateOwnMetadata | auth.ModerateParticipants | auth.Owner | auth.Hidden) {
		return "more than Liveblocks can say"
	}
	level := func(reading, writing auth.Rights, read, write string) string {
		switch {
		case r.Has(reading | writing):
			return write
		case r.Has(reading):
			return read
		case r.Any(writing):
			return "write only"
		}
		return "no"
	}
	return strings.Join([]string{
		level(auth.ReadStorage, auth.WriteStorage, "view", "edit"),
		level(auth.ReadPublicComments, auth.WritePublicComments, "read", "write"),
		level(auth.ReadPrivateComments, auth.WritePrivateComments, "read", "write"),
		level(auth.ReadFeeds, auth.WriteFeeds, "read", "write"),
	}, "|")
}

// Who has decided is told of every right.
func TestLayersSayWhoDecided(t *testing.T) {
	list := &auth.AccessList{
		Default: []string{"*:read", "comments:private:none"},
		Groups: map[string][]string{
			"one": {"*:read", "comments:write"},
			"two": {"*:write", "feeds:none"},
		},
		Users: map[string][]string{"dave": {"*:read"}},
	}
	access := map[string][]string{"*": {"*:read"}, "lab*": {"storage:none", "*:write"}, "lab:1": {"*:read", "feeds:read"}}
	for _, test := range []struct {
		token   minter
		right   auth.Rights
		allowed bool
		layer   string
	}{
		{liveblocks.IDToken{User: "ada"}, auth.SendPresence, true, "defaultAccesses"},
		{liveblocks.IDToken{User: "ada"}, auth.ReadStorage, true, "defaultAccesses"},
		{liveblocks.IDToken{User: "ada"}, auth.WriteStorage, false, "defaultAccesses"},
		{liveblocks.IDToken{User: "ada"}, auth.SendCamera, false, "defaultAccesses"},
		{liveblocks.IDToken{User: "ada", Groups: []string{"one", "two"}}, auth.WriteStorage, true, "groupsAccesses.two"},
		{liveblocks.IDToken{User: "ada", Groups: []string{"one", "two"}}, auth.SendCamera, false, "groupsAccesses.two"},
		{liveblocks.IDToken{User: "ada", Groups: []string{"one", "two"}}, auth.ReadPrivateComments, true, "groupsAccesses.one"},
		{liveblocks.IDToken{User: "ada", Groups: []string{"one", "two"}}, auth.ReadFeeds, false, "groupsAccesses.two"},
		{liveblocks.IDToken{User: "dave", Groups: []string{"two"}}, auth.WriteStorage, false, "usersAccesses.dave"},
		{liveblocks.IDToken{User: "dave", Groups: []string{"two"}}, auth.ReadFeeds, false, "groupsAccesses.two"},
		{liveblocks.IDToken{User: "dave", Groups: []string{"two"}}, auth.ReadPrivateComments, false, "defaultAccesses"},
		{liveblocks.IDToken{User: "dave", Groups: []string{"two"}}, auth.ReadPublicComments, true, "usersAccesses.dave"},
		{liveblocks.AccessToken{User: "ada", Permissions: access}, auth.SendData, true, "permissions.lab*"},
		{liveblocks.AccessToken{User: "ada", Permissions: access}, auth.ReadStorage, false, "permissions.lab*"},
		{liveblocks.AccessToken{User: "ada", Permissions: access}, auth.WriteFeeds, false, "permissions.lab:1"},
		{liveblocks.AccessToken{User: "ada", Permissions: access}, auth.WritePublicComments, true, "permissions.lab*"},
	} {
		says := format.Base(grantOf(t, test.token), "lab:1", auth.RoomRules{List: list})
		allowed, layer := auth.Explain(test.right, says...)
		if allowed != test.allowed || layer != test.layer {
			t.Errorf("%+v: %s: got %v by %s, want %v by %s", test.token, names(test.right), allowed, layer, test.allowed, test.layer)
		}
	}
}

// The layers come weakest first, patterns by their length, whatever the order in
// the token.
func TestLayersAreInOrder(t *testing.T) {
	order := func(says []auth.Say) string {
		var names []string
		for _, say := range says {
			names = append(names, say.Layer)
		}
		return strings.Join(names, " ")
	}
	g, err := verify(t, `,"k":"acc","uid":"ada","perms":{"lab":["feeds:none","comments:private:read"],"l*":["comments:none"],"*":["*:read"],"lab*":["feeds:read"],"la*":["storage:write"],"x":["*:write"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := order(format.Base(g, "lab", auth.RoomRules{})), "permissions.* permissions.l* permissions.la* permissions.lab* permissions.lab"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	g = grantOf(t, liveblocks.IDToken{User: "ada", Groups: []string{"two", "none", "one", "zero"}})
	list := &auth.AccessList{
		Default: []string{"*:read"}, Users: map[string][]string{"ada": {"feeds:none"}},
		Groups: map[string][]string{"one": {"comments:none"}, "two": {"storage:write"}, "zero": {}},
	}
	if got, want := order(format.Base(g, "lab", auth.RoomRules{List: list})), "defaultAccesses groupsAccesses.two groupsAccesses.one usersAccesses.ada"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var everyWord = strings.Fields(`*:read *:write room:read room:write room:presence:write
	storage:none storage:read storage:write comments:none comments:read comments:write
	comments:public:none comments:public:read comments:public:write
	comments:private:none comments:private:read comments:private:write feeds:none feeds:read feeds:write`)

func randomList(random *rand.Rand) []string {
	list := []string{}
	for range random.IntN(5) {
		list = append(list, everyWord[random.IntN(len(everyWord))])
	}
	return list
}

// Whatever the lists say: every right is named by exactly one layer, the layers
// come to what Resolve tells, and closing broadcasts to readers takes them from
// readers alone.
func TestEveryRightIsDecidedOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	closed := liveblocks.New(liveblocks.Config{})
	inside := 0
	for range 20000 {
		list := &auth.AccessList{Default: randomList(random), Groups: map[string][]string{}, Users: map[string][]string{"ada": randomList(random)}}
		for i := range random.IntN(4) {
			list.Groups[fmt.Sprint("g", i)] = randomList(random)
		}
		groups := []string{"g2", "g0", "g1", "g9"}[:random.IntN(5)]
		g := &auth.Grant{Format: format, Identity: "ada", Groups: groups}
		says := format.Base(g, "lab", auth.RoomRules{List: list})
		told := liveblocks.Resolve(list, "ada", groups)
		if len(says) == 0 {
			if len(told) != 0 {
				t.Fatalf("%+v: nothing decides, and %q is told", list, told)
			}
			continue
		}
		inside++
		var named auth.Rights
		for _, say := range says {
			if named&(say.Allow|say.Deny) != 0 || say.Allow&say.Deny != 0 {
				t.Fatalf("%+v: %+v: a right is named twice", list, says)
			}
			named |= say.Allow | say.Deny
		}
		if named != auth.AllRights {
			t.Fatalf("%+v: nobody decides %s", list, names(auth.AllRights&^named))
		}
		rights := auth.Resolve(says...).Rights
		if again := rightsIn(g, "lab", open(told...)); again != rights {
			t.Fatalf("%+v gives %s and is told as %q, which gives %s", list, names(rights), told, names(again))
		}
		less := auth.Resolve(closed.Base(g, "lab", auth.RoomRules{List: list})...).Rights
		want := rights
		if !rights.Has(auth.WriteStorage) {
			want &^= auth.SendData
		}
		if less != want {
			t.Fatalf("%+v gives %s, and with broadcasts closed %s", list, names(rights), names(less))
		}
	}
	if inside < 5000 {
		t.Errorf("only %d of the lists let anybody in", inside)
	}
}

// Scopes tells every permission, and for clients that cannot be told it, what
// they may write.
func TestScopes(t *testing.T) {
	for _, test := range []struct {
		rights auth.Rights
		want   string
		legacy string
	}{
		{auth.AllRights, "[*:write]", "[room:write]"},
		{auth.ReadStorage | auth.ReadFeeds | auth.ReadPublicComments | auth.ReadPrivateComments, "[*:read]", "[room:read room:presence:write]"},
		{0, "[*:read storage:none comments:none feeds:none]", "[room:read room:presence:write]"},
		{auth.SendTracks | auth.SendData | auth.SendPresence, "[*:read storage:none comments:none feeds:none]", "[room:read room:presence:write]"},
		{auth.AllRights &^ auth.WriteStorage, "[*:write storage:read]", "[room:read room:presence:write comments:write]"},
		{auth.AllRights &^ auth.ReadStorage &^ auth.WriteStorage, "[*:write storage:none]", "[room:read room:presence:write comments:write]"},
		{auth.AllRights &^ auth.ReadFeeds &^ auth.WriteFeeds, "[*:write feeds:none]", "[room:write]"},
		{auth.AllRights &^ auth.ReadPrivateComments &^ auth.WritePrivateComments, "[*:write comments:private:none]", "[room:write]"},
		// A document one may write and not read has no word: the client is told
		// what it asks for, whether it may write.
		{auth.AllRights &^ auth.ReadStorage, "[*:write]", "[room:write]"},
		{auth.ReadStorage | auth.ReadFeeds | auth.ReadPublicComments | auth.ReadPrivateComments | auth.WritePrivateComments, "[*:read comments:private:write]", "[room:read room:presence:write comments:write]"},
	} {
		p := auth.Permission{Rights: test.rights}
		if got := fmt.Sprint(liveblocks.Scopes(p)); got != test.want {
			t.Errorf("%s: got %s, want %s", names(test.rights), got, test.want)
		}
		if got := fmt.Sprint(liveblocks.LegacyScopes(p)); got != test.legacy {
			t.Errorf("%s: got %s for old clients, want %s", names(test.rights), got, test.legacy)
		}
	}
	if n := testing.AllocsPerRun(100, func() { liveblocks.Scopes(auth.Permission{Rights: auth.WriteFeeds}) }); n != 0 {
		t.Errorf("Scopes allocates %v times", n)
	}
}

// The client takes the most of comments, public and private comments for
// whether somebody can comment, so no list may say comments:write of somebody
// who can write neither.
func TestScopesDoNotOverstateComments(t *testing.T) {
	for i := range 1 << 8 {
		rights := auth.Rights(i) * auth.ReadStorage // storage, comments and feeds are the next eight
		list := liveblocks.Scopes(auth.Permission{Rights: rights})
		has := func(word string) bool { return slices.Contains(list, word) }
		canComment := has("comments:write") || has("comments:public:write") || has("comments:private:write") ||
			has("*:write") && !has("comments:read") && !has("comments:none")
		if want := rights.Any(auth.WritePublicComments | auth.WritePrivateComments); canComment != want {
			t.Errorf("%s is told as %q", names(rights), list)
		}
	}
}

func TestParseList(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"", ""},
		{"*:read", ""},
		{"room:read", ""},
		{"room:read room:presence:write", ""},
		{"room:presence:write *:write room:presence:write", ""},
		{"*:write storage:none comments:read comments:public:none comments:private:write feeds:write", ""},
		{"room:presence:write", "this one has 0"},
		{"storage:write", "this one has 0"},
		{"*:read *:write", "this one has 2"},
		{"*:read *:read", "this one has 2"},
		{"room:write *:write", "this one has 2"},
		{"*:read storage:read storage:write", "storage is stated twice"},
		{"*:read comments:public:read comments:public:read", "comments:public is stated twice"},
		{"*:read comments:personal:write", `"comments:personal:write" is not a permission`},
		{"*:none", `"*:none" is not a permission`},
		{"*:READ", `"*:READ" is not a permission`},
		{"*:read " + strings.Repeat("é", 100), strings.Repeat("é", 30) + `…" is not a permission`},
	} {
		check(t, test.list, liveblocks.ParseList(strings.Fields(test.list)), test.want)
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%q: %v", what, err)
		}
		return
	}
	if _, ok := err.(*liveblocks.InvalidError); !ok || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: got %v, want …%s…", what, err, want)
	}
}

func TestParsePatterns(t *testing.T) {
	eleven := map[string][]string{}
	for i := range liveblocks.MaxPatterns + 1 {
		eleven[fmt.Sprint("room", i)] = nil
	}
	long := strings.Repeat("é", liveblocks.MaxPatternLength)
	for _, test := range []struct {
		name        string
		permissions map[string][]string
		want        string
	}{
		{"none", nil, ""},
		{"all forms", map[string][]string{"*": {"*:read"}, "lab": {}, "lab*": {"storage:write"}, long: nil, long + "*": nil, "a b\n*": nil}, ""},
		{"no name", map[string][]string{"": nil}, "a pattern is *"},
		{"* within", map[string][]string{"a*b": nil}, "a pattern is *"},
		{"* twice", map[string][]string{"a**": nil}, "a pattern is *"},
		{"two of them alone", map[string][]string{"**": nil}, "a pattern is *"},
		{"too long", map[string][]string{long + "e": nil}, "a pattern is *"},
		{"too many", eleven, "10 patterns, this one has 11"},
		{"unknown word", map[string][]string{"*": {"room:admin"}}, `"room:admin" is not a permission`},
	} {
		check(t, test.name, liveblocks.ParsePatterns(test.permissions), test.want)
	}
}
