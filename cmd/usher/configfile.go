package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"usher/auth"
)

// places is where in a configuration file each key stands, so that an error
// can name the line. The library's own errors quote the lines around the
// mistake, and with them the secrets; ours never do.
type places struct {
	file string
	line map[string]int            // by path
	path map[token.Position]string // of keys and values
}

// readConfig reads a file over the settings in c.
func readConfig(name string, c *config) (where places, err error) {
	defer func() {
		// The library panics on some tags.
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: not readable as YAML", name)
		}
	}()
	text, err := os.ReadFile(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return places{}, withHint(fmt.Errorf("cannot read the configuration %s: %w", name, err),
			"usher serve --dev needs no configuration")
	}
	where = places{file: name, line: map[string]int{}, path: map[token.Position]string{}}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return where, where.explain(err)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			docs = append(docs, doc.Body)
		}
	}
	switch {
	case len(docs) > 1:
		return where, fmt.Errorf("%s line %d: a second document; one is read", name, docs[1].GetToken().Position.Line)
	case len(docs) == 0: // empty, or only comments
		return where, nil
	}
	where.walk("", docs[0])
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField()).Decode(c)
	if err != nil && !errors.Is(err, io.EOF) {
		return where, where.explain(err)
	}
	return where, nil
}

func (w places) walk(path string, n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for i, v := range n.Values {
			w.value(path, i, v)
		}
	case *ast.MappingValueNode: // the only one of its mapping
		w.value(path, 0, n)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			at := fmt.Sprintf("%s[%d]", path, i)
			w.line[at] = v.GetToken().Position.Line
			w.path[spot(v.GetToken())] = at
			w.walk(at, v)
		}
	}
}

// value walks a key of a mapping and its value.
func (w places) value(path string, i int, n *ast.MappingValueNode) {
	key := n.Key.GetToken()
	switch {
	case strings.HasSuffix(path, ".livekit.keys"):
		text := ""
		if v, ok := n.Value.(ast.ScalarNode); ok {
			text, _ = v.GetValue().(string)
		}
		path = namedSecret{key.Value, secret(text)}.path(path, i)
	case plainWord.MatchString(key.Value):
		path = strings.TrimPrefix(path+"."+key.Value, ".")
	default:
		path = strings.TrimPrefix(path+"."+unshown, ".")
	}
	w.line[path] = key.Position.Line
	w.path[spot(key)] = path
	w.path[spot(n.Value.GetToken())] = path
	w.walk(path, n.Value)
}

// plainWord is how our own keys look. Another one may be a secret in the wrong
// place, and is not shown.
var plainWord = regexp.MustCompile(`^[a-z_]{1,31}$`)

const unshown = "…"

// keyID is how the id of an API key looks: shorter than any secret may be, and
// without the marks of one.
var keyID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$`)

// path names a key of a list by its id, or by its place when the id looks like
// a secret, or the secret like an id.
func (k namedSecret) path(list string, i int) string {
	marked := strings.HasPrefix(k.ID, "sk_") || strings.HasPrefix(k.ID, "whsec_")
	swapped := strings.HasPrefix(string(k.Secret), "API") && !strings.HasPrefix(k.ID, "API")
	if marked || swapped || !keyID.MatchString(k.ID) {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return list + "." + k.ID
}

// spot is a token's position as a key of a map.
func spot(t *token.Token) token.Position {
	return token.Position{Line: t.Position.Line, Column: t.Position.Column}
}

// describe says where a problem is. A key that is not in the file is missing
// from the nearest one around it that is.
func (w places) describe(p problem) error {
	for at := p.path; at != ""; at = parentPath(at) {
		if line, ok := w.line[at]; ok {
			return fmt.Errorf("%s line %d: %s: %s", w.file, line, p.path, p.text)
		}
	}
	if w.file != "" {
		return fmt.Errorf("%s: %s: %s", w.file, p.path, p.text)
	}
	return fmt.Errorf("%s: %s", p.path, p.text)
}

func parentPath(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// explain turns the library's errors and those of our own types into one line.
func (w places) explain(err error) error {
	var lib yaml.Error
	if !errors.As(err, &lib) || lib.GetToken() == nil {
		var own *nodeError
		if !errors.As(err, &own) {
			return fmt.Errorf("%s: not readable as YAML", w.file)
		}
		return w.at(own.token, own.text)
	}
	var (
		unknown  *yaml.UnknownFieldError
		mismatch *yaml.TypeError
		overflow *yaml.OverflowError
		kind     *yaml.UnexpectedNodeTypeError
	)
	t := lib.GetToken()
	switch {
	case errors.As(err, &unknown):
		name := w.name(t)
		if strings.HasSuffix(name, unshown) {
			return fmt.Errorf("%s line %d: unknown key, which is not shown as it may be a secret", w.file, t.Position.Line)
		}
		return fmt.Errorf("%s line %d: unknown key %q", w.file, t.Position.Line, name)
	case errors.As(err, &mismatch):
		return w.at(t, "must be "+wanted(mismatch.DstType.Kind().String()))
	case errors.As(err, &overflow):
		return w.at(t, "the number is out of range")
	case errors.As(err, &kind):
		return w.at(t, kind.Expected.YAMLName()+" is expected here")
	}
	return fmt.Errorf("%s line %d: %s", w.file, t.Position.Line, inQuotes.ReplaceAllStringFunc(lib.GetMessage(), func(quoted string) string {
		if plainWord.MatchString(strings.Trim(quoted, `"`)) {
			return quoted
		}
		return `"` + unshown + `"`
	}))
}

// inQuotes is what the library quotes of the file.
var inQuotes = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func (w places) name(t *token.Token) string {
	if path, ok := w.path[spot(t)]; ok {
		return path
	}
	return unshown
}

func (w places) at(t *token.Token, text string) error {
	if path, ok := w.path[spot(t)]; ok {
		return fmt.Errorf("%s line %d: %s: %s", w.file, t.Position.Line, path, text)
	}
	return fmt.Errorf("%s line %d: %s", w.file, t.Position.Line, text)
}

// wanted names a kind of Go value in the words of the file.
func wanted(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "string":
		return "text"
	case "slice":
		return "a list"
	}
	return "keys and values"
}

// A nodeError is what one of the types below finds wrong with a value.
type nodeError struct {
	token *token.Token
	text  string
}

func (e *nodeError) Error() string { return e.text }

// A duration is written as in Go: 300s, 5m, 1h30m.
type duration time.Duration

func (d duration) String() string { return time.Duration(d).String() }

func (d *duration) UnmarshalYAML(n ast.Node) error {
	text := n.GetToken().Value
	v, err := time.ParseDuration(text)
	if err != nil {
		return &nodeError{n.GetToken(), fmt.Sprintf("%q is not a duration; write it like 30s or 5m", text)}
	}
	*d = duration(v)
	return nil
}

// A secret is text that never shows itself.
type secret auth.Secret

func (s secret) String() string               { return auth.Secret(s).String() }
func (s secret) GoString() string             { return auth.Secret(s).GoString() }
func (s secret) Format(f fmt.State, r rune)   { auth.Secret(s).Format(f, r) }
func (s secret) MarshalText() ([]byte, error) { return auth.Secret(s).MarshalText() }

func (s *secret) UnmarshalYAML(n ast.Node) error {
	// A secret of digits must keep its leading zeros, so only text will do.
	text, ok := n.(ast.ScalarNode)
	if !ok {
		return &nodeError{n.GetToken(), "must be text"}
	}
	value, ok := text.GetValue().(string)
	if !ok {
		return &nodeError{n.GetToken(), "must be text: put it into quotes"}
	}
	*s = secret(value)
	return nil
}

// A keyList is a mapping of key ids to secrets that keeps its order.
type keyList []namedSecret

type namedSecret struct {
	ID     string
	Secret secret
}

func (l *keyList) UnmarshalYAML(n ast.Node) error {
	m, ok := n.(ast.MapNode)
	if !ok {
		return &nodeError{n.GetToken(), `must be keys with their secrets, like { APIacme: "…" }`}
	}
	*l = nil
	for it := m.MapRange(); it.Next(); {
		key := namedSecret{ID: it.Key().GetToken().Value}
		if err := key.Secret.UnmarshalYAML(it.Value()); err != nil {
			return err
		}
		*l = append(*l, key)
	}
	return nil
}
