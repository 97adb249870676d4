package sdk_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"usher/web/browsertest"
	"usher/web/sdk"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(browsertest.Share(m),
		// A page's cut connections linger half a second in net/http.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func get(path, tag string) *http.Response {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("If-None-Match", tag)
	w := httptest.NewRecorder()
	sdk.Handler().ServeHTTP(w, req)
	return w.Result()
}

// imports finds what a module imports.
var imports = regexp.MustCompile(`(?:from|import\()\s*"(\./[^"]+|\.\./[^"]+)"`)

// Every file that the entry leads to is there, for pages of every origin.
func TestFiles(t *testing.T) {
	seen := map[string]bool{}
	queue := []string{"/sdk/usher.js"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		res := get(path, "")
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 {
			t.Errorf("%s: got %d", path, res.StatusCode)
			continue
		}
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Access-Control-Allow-Origin": "*",
			"Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if again := get(path, res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %d for what the browser has, want 304", path, again.StatusCode)
		}
		for _, m := range imports.FindAllStringSubmatch(string(body), -1) {
			queue = append(queue, filepath.Join(filepath.Dir(path), m[1]))
		}
	}
	if len(seen) < 20 || !seen["/sdk/media/index.js"] {
		t.Errorf("the entry leads to %d files, and to media: %v", len(seen), seen["/sdk/media/index.js"])
	}
	if res := get("/sdk/usher.d.ts", ""); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("types: got %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	for _, path := range []string{"/sdk/", "/sdk/sdk.go", "/sdk/package.json", "/sdk/test/fake.mjs", "/sdk/media/media.go", "/sdk/nothing.js"} {
		if res := get(path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, res.StatusCode)
		}
	}
}

// needNode skips the test without Node.
func needNode(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("node")
	if err == nil {
		var version []byte
		version, err = exec.Command(program, "--version").Output()
		major, _ := strconv.Atoi(strings.TrimPrefix(strings.Split(string(version), ".")[0], "v"))
		if err == nil && major >= 20 {
			return program
		}
	}
	t.Skip("NO NODE: install Node 20 or later with npm, then run make deps")
	return ""
}

func run(t *testing.T, folder, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The parts that need no browser are tested in JavaScript, with a world in which
// time and the network are the test's.
func TestUnits(t *testing.T) {
	node := needNode(t)
	tests, err := filepath.Glob("test/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	run(t, ".", node, append([]string{"--test"}, tests...)...)
}

// The declarations say what the modules have, and a program written for them
// compiles.
func TestTypes(t *testing.T) {
	node := needNode(t)
	locked, installed := versionOf(t, "package-lock.json"), versionOf(t, "node_modules/.package-lock.json")
	if installed != locked {
		t.Skipf("NO TYPESCRIPT: %s is to be here, and %q is; run make deps", locked, installed)
	}
	run(t, ".", node, "node_modules/typescript/bin/tsc", "--project", "test/tsconfig.json")

	// Mistakes in the sample would have been found.
	sample, err := os.ReadFile("test/sample.ts")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(sample), `"usher-client"`, strconv.Quote(filepath.Join(here, "usher.js")), 1)
	mistakes := [][2]string{
		{"setCameraEnabled(true)", `setCameraEnabled("yes")`}, {"RoomEvent.Moved", "RoomEvent.Departed"}, {"error.layer", "error.floor"},
	}
	for _, m := range mistakes {
		if !strings.Contains(text, m[0]) {
			t.Errorf("the sample has no %s", m[0])
		}
		text = strings.Replace(text, m[0], m[1], 1)
	}
	broken := filepath.Join(t.TempDir(), "broken.mts")
	if err := os.WriteFile(broken, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(node, "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "es2022",
		"--module", "nodenext", "--lib", "es2023,dom,dom.iterable", broken).CombinedOutput()
	if err == nil {
		t.Error("mistakes went unnoticed")
	}
	for _, word := range []string{"boolean", "Departed", "floor"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("a mistake went unnoticed: %s is not in\n%s", word, out)
		}
	}

	var exports struct{ Have, Declared []string }
	if err := json.Unmarshal([]byte(run(t, ".", node, "--input-type=module", "--eval", exported)), &exports); err != nil {
		t.Fatal(err)
	}
	if len(exports.Have) == 0 || !slices.Equal(exports.Have, exports.Declared) {
		t.Errorf("exported are\n%q\nand declared\n%q", exports.Have, exports.Declared)
	}
}

// exported prints what the modules export, and what of the declarations is a
// value to whoever imports them, by the compiler's word.
const exported = `
const { default: ts } = await import("./node_modules/typescript/lib/typescript.js");
const program = ts.createProgram(["usher.d.ts"], { lib: ["lib.es2023.d.ts", "lib.dom.d.ts"], types: [] });
const checker = program.getTypeChecker();
const declared = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile("usher.d.ts")));
console.log(JSON.stringify({
	have: Object.keys(await import("./usher.js")).sort(),
	declared: declared.filter((s) => s.flags & ts.SymbolFlags.Value).map((s) => s.name).sort(),
}));`

// members prints the values of the enumerations, and the methods and getters of
// the classes, as the modules have them.
const members = `
const sdk = await import("./usher.js");
const out = { enums: {}, classes: {} };
for (const name of ["RoomEvent", "ParticipantEvent", "TrackEvent", "ConnectionState", "DisconnectReason", "DataPacket_Kind", "ParticipantKind", "ConnectionErrorReason"])
  out.enums[name] = Object.keys(sdk[name]).filter((k) => isNaN(k)).map((k) => k + " = " + JSON.stringify(sdk[name][k]));
for (const name of ["Room", "LocalParticipant", "RemoteParticipant", "Participant", "LocalTrackPublication", "RemoteTrackPublication", "LocalTrack", "RemoteTrack", "RemoteAudioTrack", "Track", "TrackPublication", "MediaError", "RpcError"])
  out.classes[name] = Object.getOwnPropertyNames(sdk[name].prototype).filter((k) => k !== "constructor" && !k.startsWith("_"));
console.log(JSON.stringify(out));`

// Every value and every member is declared with the same name.
func TestTypesAreComplete(t *testing.T) {
	node := needNode(t)
	var have struct{ Enums, Classes map[string][]string }
	if err := json.Unmarshal([]byte(run(t, ".", node, "--input-type=module", "--eval", members)), &have); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("usher.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind, name string) string {
		m := regexp.MustCompile(`(?ms)^export declare (?:abstract )?` + kind + ` ` + name + `\b[^\n]*\{\n(.*?)^\}`).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("no %s %s", kind, name)
		}
		return m[1]
	}
	for name, values := range have.Enums {
		b := block("enum", name)
		var declared []string
		for _, m := range regexp.MustCompile(`(?m)^  (\w+ = [^,]+),`).FindAllStringSubmatch(b, -1) {
			declared = append(declared, m[1])
		}
		slices.Sort(declared)
		slices.Sort(values)
		if !slices.Equal(declared, values) {
			t.Errorf("%s: declared %v, have %v", name, declared, values)
		}
	}
	for name, members := range have.Classes {
		b := block("class", name)
		for _, m := range members {
			if !regexp.MustCompile(`(?m)^  (static |readonly )*`+m+`\b`).MatchString(b) && !inherited[name+"."+m] {
				t.Errorf("%s.%s is not declared", name, m)
			}
		}
	}
}

// What a class has of its own and declares in the class above.
var inherited = map[string]bool{
	"LocalParticipant.isLocal": true, "LocalTrack.attach": true, "RemoteTrack.mediaStreamTrack": true, "RemoteTrack.mediaStream": true,
	"LocalTrackPublication.isMuted": true, "LocalTrackPublication.isEnabled": true,
	"RemoteTrackPublication.isMuted": true, "RemoteTrackPublication.isEnabled": true, "RemoteTrackPublication.isSubscribed": true,
}

func versionOf(t *testing.T, lock string) string {
	t.Helper()
	text, err := os.ReadFile(lock)
	if err != nil {
		return ""
	}
	var l struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(text, &l); err != nil {
		t.Fatal(err)
	}
	return "typescript " + l.Packages["node_modules/typescript"].Version
}

// The folder is an npm package: installed by its path it is imported by its name.
func TestNPM(t *testing.T) {
	node := needNode(t)
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("NO NPM: install Node 20 or later with npm")
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	project := t.TempDir()
	if err := os.WriteFile(filepath.Join(project, "package.json"), []byte(`{"private":true,"type":"module"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, project, npm, "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", here)
	got := run(t, project, node, "--input-type=module", "--eval",
		`import { Room, RoomEvent, version } from "usher-client"; console.log(new Room().state, RoomEvent.Moved, version)`)
	var pkg struct{ Version string }
	text, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &pkg); err != nil {
		t.Fatal(err)
	}
	if want := "disconnected moved " + pkg.Version + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	packed := run(t, ".", npm, "pack", "--dry-run", "--json", "--ignore-scripts")
	var packs []struct{ Files []struct{ Path string } }
	if err := json.Unmarshal([]byte(packed[strings.Index(packed, "[\n"):]), &packs); err != nil {
		t.Fatalf("%v: %s", err, packed)
	}
	var names []string
	for _, f := range packs[0].Files {
		names = append(names, f.Path)
		if strings.HasPrefix(f.Path, "test") || strings.HasSuffix(f.Path, ".go") || strings.Contains(f.Path, "testdata") {
			t.Errorf("the package has %s", f.Path)
		}
	}
	for _, want := range []string{"usher.js", "usher.d.ts", "media/index.js"} {
		if !slices.Contains(names, want) {
			t.Errorf("the package has no %s", want)
		}
	}
}
