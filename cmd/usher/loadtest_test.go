package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"usher/loadtest"
)

// results reads what --json printed.
func results(t *testing.T, c *terminal) (all []loadtest.Result) {
	t.Helper()
	for line := range strings.Lines(c.out.text()) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var r loadtest.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %.200s", err, line)
		}
		all = append(all, r)
	}
	return all
}

func wantFlawless(t *testing.T, r loadtest.Result) {
	t.Helper()
	if r.Counts["delivered"] == 0 || r.Counts["delivered"] != r.Counts["expected"] || r.Counts["lost"]+r.Counts["doubled"]+r.Counts["misordered"] != 0 || len(r.Errors) > 0 {
		t.Errorf("%s of %s: got %v, errors %v", r.Scenario, r.Server, r.Counts, r.Errors)
	}
	if r.Cost == nil || r.Cost.Source != "pid" || r.Cost.RSS == 0 {
		t.Errorf("%s of %s: the cost is not known: %+v", r.Scenario, r.Server, r.Cost)
	}
}

// Without --url it starts servers of its own, the yardsticks too.
func TestLoadtestOfOwnServers(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "report.html")
	c, _ := startProcess(t, "loadtest", "rooms", "--rooms", "3", "--room-size", "4", "--rate", "30", "--duration", "500ms",
		"--rounds", "2", "--yardstick", "--json", "--report", report)
	if code := c.wait(); code != 0 {
		t.Fatalf("got exit code %d: %s", code, c.err.text())
	}
	all := results(t, c)
	if len(all) != 3 || all[0].Server != "usher" || all[1].Server != "floor" || all[2].Server != "naive" {
		t.Fatalf("got %d results: %s", len(all), c.out.text())
	}
	for _, r := range all {
		wantFlawless(t, r)
		if r.Settings["rounds"] != 2.0 {
			t.Errorf("%s: the settings are %v", r.Server, r.Settings)
		}
	}
	if !strings.HasPrefix(all[0].Command, "usher loadtest rooms --rooms 3 ") || len(all[0].ErrorKinds) == 0 {
		t.Errorf("got the command %q and kinds of errors %q", all[0].Command, all[0].ErrorKinds)
	}
	if len(all[0].Ratios) == 0 {
		t.Error("there are no ratios")
	}
	if page, err := os.ReadFile(report); err != nil || !strings.Contains(string(page), "<html") {
		t.Errorf("got %.100q, %v, want a page", page, err)
	}
	c.logs("floor, run ")
}

// With --url it measures a server that runs, and leaves nobody behind.
func TestLoadtestOfARunningServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	keys := []string{"--url", "ws://" + s.addr, "--api-key", devKey, "--api-secret", devSecret}
	run := func(args ...string) *terminal {
		t.Helper()
		return start(t, append([]string{"loadtest"}, append(args, keys...)...)...)
	}
	c := run("join", "--people", "30", "--hold", "0s", "--json")
	if code := c.wait(); code != 0 {
		t.Fatalf("got exit code %d: %s", code, c.err.text())
	}
	if all := results(t, c); len(all) != 1 || all[0].Counts["joins"] != 30 || all[0].Counts["lost"] != 0 || all[0].Cost == nil || all[0].Cost.Source != "metrics" {
		t.Errorf("got %s", c.out.text())
	}
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, metrics := get(t, "http://"+s.addr+"/metrics"); strings.Contains(metrics, "\nusher_connections 0\n") {
			break
		}
		if time.Now().After(until) {
			t.Fatal("somebody is still there")
		}
	}
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"holds":          {[]string{"--fail-if", "joins>1"}, 1, "joins"},
		"does not hold":  {[]string{"--fail-if", "lost>0"}, 0, ""},
		"is none":        {[]string{"--fail-if", "lost"}, 2, "--fail-if"},
		"is empty":       {[]string{"--fail-if", ""}, 2, "there is no condition"},
		"is unknown":     {[]string{"--fail-if", "lots>0"}, 2, "did you mean \"lost\""},
		"has no ratio":   {[]string{"--fail-if", "ratio.floor.cpu>1"}, 2, "--yardstick"},
		"rounds of none": {[]string{"--rounds", "0"}, 2, "--rounds 0"},
	} {
		c := run(append([]string{"join", "--people", "5", "--hold", "0s"}, test.args...)...)
		if code := c.wait(); code != test.code || !strings.Contains(c.err.text(), test.says) {
			t.Errorf("--fail-if %s: got %d: %s", name, code, c.err.text())
		}
	}
}

func TestLoadtestErrors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"join", "--url", "http://127.0.0.1:1", "--api-key", "a", "--api-secret", "b"}, 1, "cannot reach http://127.0.0.1:1"},
		{[]string{"join", "--url", "http://" + s.addr, "--api-key", "a", "--api-secret", "b"}, 1, "does not accept the key a"},
		{[]string{"join", "--people", "100000000"}, 1, "ulimit -n"},
		{[]string{"join", "--pid", "1"}, 2, "--pid"},
		{[]string{"roles", "--yardstick"}, 2, "--yardstick"},
		{[]string{"dance"}, 2, "dance"},
		{[]string{"rooms", "--rate", "NaN"}, 2, "rate cannot be NaN"},
		{[]string{"join", "--report", "/nowhere/report.html"}, 1, "--report"},
		{[]string{"yardstick", "other"}, 2, "other"},
	} {
		c, _ := startProcess(t, append([]string{"loadtest"}, test.args...)...)
		if code := c.wait(); code != test.code || !strings.Contains(c.err.text(), test.says) {
			t.Errorf("%v: got exit code %d and %s, want %d and %s", test.args, code, c.err.text(), test.code, test.says)
		}
	}
}

// A secret on the command line is not in what the run leaves behind.
func TestLoadtestCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{"u loadtest join --api-secret hush --people 3", "usher loadtest join --api-secret … --people 3"},
		{"u loadtest join --api-secret=hush --fail-if lost>0", "usher loadtest join --api-secret=… --fail-if 'lost>0'"},
		{"u serve", ""},
	} {
		if got := commandLine(strings.Fields(test[0])); got != test[1] {
			t.Errorf("%s: got %s, want %s", test[0], got, test[1])
		}
	}
}

// An interrupt ends the run, with what was measured so far and exit code 1.
func TestLoadtestInterrupted(t *testing.T) {
	t.Parallel()
	c, signal := startProcess(t, "loadtest", "rooms", "--rooms", "2", "--room-size", "3", "--duration", "1h", "--rounds", "2", "--json")
	c.logs("measuring")
	signal(os.Interrupt)
	if code := c.wait(); code != 1 {
		t.Errorf("got exit code %d, want 1: %s", code, c.err.text())
	}
	if all := results(t, c); len(all) != 1 || all[0].Counts["joins"] != 6 {
		t.Errorf("got %s", c.out.text())
	}
	c.logs("interrupted")
}

// The table is written into the document, and what people wrote stays.
func TestLoadtestBench(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "performance.md")
	for range 2 {
		c, _ := startProcess(t, "loadtest", "bench", "--quick", "--only", "storm", "--out", file)
		if code := c.wait(); code != 0 {
			t.Fatalf("got exit code %d: %s", code, c.err.text())
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "| storm ") || strings.Contains(string(text), "| join ") {
			t.Errorf("got %s", text)
		}
		if err := os.WriteFile(file, append(text, "\nWritten by people.\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := os.ReadFile(file); strings.Count(string(text), "Written by people.") != 2 {
		t.Errorf("got %s", text)
	}
	c, _ := startProcess(t, "loadtest", "bench", "--only", "dance", "--out", file)
	if code := c.wait(); code != 2 {
		t.Errorf("got exit code %d, want 2", code)
	}
}
