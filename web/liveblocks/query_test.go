package liveblocks_test

import (
	"strings"
	"testing"

	"usher/room"
	"usher/web/liveblocks"
)

var asked = &room.LiveblocksRoom{
	Name: "acme:doc/1",
	Metadata: map[string]room.Metadatum{
		"type": {Text: "whiteboard"}, "n": {Text: "10"}, "word": {Text: "ten"}, "open": {Text: "true"}, "empty": {Text: ""},
		"tags": {List: []string{"red", "blue"}}, "none": {List: []string{}}, "sizes": {List: []string{"3", "30"}},
		"it's": {Text: `x "y" z`}, "ü": {Text: "ö"}, "line": {Text: "a\nb"}, `back\slash`: {Text: `\`}, "smile": {Text: "😀"},
		"huge": {Text: "1e999"}, "nan": {Text: "NaN"}, "hex": {Text: "0x10"},
	},
}

func TestQuery(t *testing.T) {
	tests := []struct {
		query string
		want  bool
	}{
		{``, true},
		{`  `, true},
		{`roomId:'acme:doc/1'`, true},
		{`roomId:"acme:doc/1"`, true},
		{`roomId:'acme:doc/2'`, false},
		{`roomId^'acme:'`, true},
		{`roomId^''`, true},
		{`roomId ^ 'acme:'`, true},
		{`roomId^'beta:'`, false},
		{`roomId>'acme'`, true},
		{`roomId<'acme'`, false},
		{`metadata['type']:'whiteboard'`, true},
		{`metadata["type"]:"whiteboard"`, true},
		{`metadata [ 'type' ] : 'whiteboard'`, true},
		{`metadata.type:'whiteboard'`, true},
		{`metadata['type']:'text'`, false},
		{`metadata['type']^'white'`, true},
		{`metadata['type']^'board'`, false},
		{`metadata['Type']:'whiteboard'`, false},
		{`metadata['missing']:'x'`, false},
		{`metadata['missing']^''`, false},
		{`metadata['missing']:null`, true},
		{`metadata['type']:null`, false},
		{`metadata['empty']:''`, true},
		{`metadata['empty']:null`, false},

		// What @liveblocks/core's objectToQuery writes: a space between terms.
		{`roomId^'acme:' metadata['type']:'whiteboard'`, true},
		{`roomId^'acme:' metadata['type']:'text'`, false},
		{`metadata["it's"]:'x "y" z'`, true},
		{`metadata["it's"]:"x \"y\" z"`, true},
		{`metadata['it\'s']:'x "y" z'`, true},
		{`metadata['line']:'a\nb'`, true},
		{`metadata['back\\slash']:'\\'`, true},
		{`metadata['ü']:'\u00f6'`, true},
		{`metadata['smile']:'\ud83d\ude00'`, true},
		{`metadata['smile']:'😀'`, true},
		{`metadata['smile']:'\ud83d'`, false},

		{`roomId^'acme:' AND metadata['type']:'whiteboard'`, true},
		{`roomId^'acme:' and metadata['type']:'whiteboard'`, true},
		{`roomId^'acme:' AND metadata['type']:'text'`, false},
		{`roomId^'beta:' AND metadata['type']:'whiteboard'`, false},
		{"roomId^'acme:'\n\tAND\nmetadata['n']:'10'", true},
		{`metadata['n']>1 metadata['n']<11 metadata['type']:'whiteboard'`, true},

		{`metadata['n']:10`, true},
		{`metadata['n']:10.0`, false}, // it is spelt otherwise
		{`metadata['open']:true`, true},
		{`metadata['open']:false`, false},
		{`metadata['n']>9`, true},
		{`metadata['n']>10`, false},
		{`metadata['n']>=10`, true},
		{`metadata['n']<10`, false},
		{`metadata['n']<=10`, true},
		{`metadata['n']<=1e1`, true},
		{`metadata['n']>-5`, true},
		{`metadata['n']<'9'`, true}, // as text
		{`metadata['word']>1`, false},
		{`metadata['word']<1`, false},
		{`metadata['huge']>1`, false},
		{`metadata['nan']>1`, false},
		{`metadata['hex']>1`, false},

		{`metadata['tags']:'red'`, true},
		{`metadata['tags']:'blue'`, true},
		{`metadata['tags']:'green'`, false},
		{`metadata['tags']^'bl'`, true},
		{`metadata['tags']:null`, false},
		{`metadata['none']:''`, false},
		{`metadata['sizes']>20`, true},
		{`metadata['sizes']>40`, false},
	}
	for _, test := range tests {
		got, err := liveblocks.Pick(test.query, asked)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v, want %v", test.query, got, err, test.want)
		}
	}
}

func TestQueryErrors(t *testing.T) {
	tests := map[string]string{
		`x`:                        `query: "x" cannot be asked for, only roomId and metadata['key'] can, at character 1`,
		`createdAt>'2026'`:         `query: "createdAt" cannot be asked for, only roomId and metadata['key'] can, at character 1`,
		`roomId`:                   `query: expected one of : ^ < <= > >= at character 7`,
		`roomId=`:                  `query: expected one of : ^ < <= > >= at character 7`,
		`roomId:`:                  `query: expected a value: a string in quotes, a number, true, false or null at character 8`,
		`roomId:acme`:              `query: expected a value: a string in quotes, a number, true, false or null at character 8`,
		`roomId:'acme`:             `query: the string does not end that begins at character 8`,
		`roomId:null`:              `query: : needs another value at character 8`,
		`roomId^5`:                 `query: ^ needs a string at character 8`,
		`metadata['n']^null`:       `query: ^ needs a string at character 15`,
		`metadata['n']<true`:       `query: < needs another value at character 15`,
		`metadata['n']>=null`:      `query: >= needs another value at character 16`,
		`metadata`:                 `query: expected ['key'] behind metadata at character 9`,
		`metadata:'x'`:             `query: expected ['key'] behind metadata at character 9`,
		`metadata.`:                `query: expected the name of a metadata key at character 10`,
		`metadata['a'`:             `query: expected ] at character 13`,
		`metadata[a]:'x'`:          `query: expected a string in quotes at character 10`,
		`metadata['a']['b']:'x'`:   `query: expected one of : ^ < <= > >= at character 14`,
		`roomId^'ü' OR roomId:'b'`: `query: "OR" cannot be asked for, only roomId and metadata['key'] can, at character 12`,
		`roomId^'a' AND`:           `query: expected roomId or metadata['key'] at character 15`,
		`AND roomId^'a'`:           `query: "AND" cannot be asked for, only roomId and metadata['key'] can, at character 1`,
		`(roomId^'a')`:             `query: expected roomId or metadata['key'] at character 1`,
		`roomId:'\x'`:              `query: unknown escape at character 9`,
		`roomId:'\u12`:             `query: \u needs four hexadecimal digits at character 9`,
		`roomId:'\`:                `query: there is nothing behind the backslash at character 9`,
		`metadata['n']:0x10`:       `query: expected a value: a string in quotes, a number, true, false or null at character 15`,
		`metadata['n']:1_0`:        `query: expected a value: a string in quotes, a number, true, false or null at character 15`,
		`metadata['n']:NaN`:        `query: expected a value: a string in quotes, a number, true, false or null at character 15`,
		`metadata['n']>1e999`:      `query: the number is out of range at character 15`,
		strings.Repeat("roomId^'a' ", liveblocks.MaxTerms+1):       `query: more than 64 conditions at character 705`,
		"roomId^'" + strings.Repeat("a", liveblocks.MaxQueryBytes): `query: the query exceeds the limit of 4096 bytes at character 4096`,
	}
	for query, want := range tests {
		if _, err := liveblocks.Pick(query, asked); err == nil || err.Error() != want {
			t.Errorf("%.60s: got %v, want %s", query, err, want)
		}
	}
}

// Whatever is asked, the parser ends without a panic, and errors point into the
// query.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{`roomId^'a' AND metadata['b']:"c"`, `metadata["it's"]:'x "y" z' metadata['n']<=-1.5e3`, `metadata.k:null`, `metadata['\ud83d\ude00']:true`, "roomId:'\xff'", `x`, `'`, `\`} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		matched, err := liveblocks.Pick(query, asked)
		if err != nil && (matched || !strings.HasPrefix(err.Error(), "query: ")) {
			t.Errorf("%q: got %v, %v", query, matched, err)
		}
		// Saying it twice changes nothing.
		if err == nil && len(query) < liveblocks.MaxQueryBytes/2-8 {
			again, err := liveblocks.Pick(query+" "+query, asked)
			if strings.Count(query, ":")+strings.Count(query, "^")+strings.Count(query, "<")+strings.Count(query, ">") > liveblocks.MaxTerms/2 {
				return
			}
			if err != nil || again != matched {
				t.Errorf("%q twice: got %v, %v, want %v", query, again, err, matched)
			}
		}
	})
}
