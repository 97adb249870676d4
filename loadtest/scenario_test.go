package loadtest

import (
	"strings"
	"testing"
)

// What no result of a scenario can have is refused before it runs.
func TestConditionsCheck(t *testing.T) {
	for _, test := range []struct {
		scenario, conditions string
		yardsticks           bool
		want                 string // "": it is right
	}{
		{"join", "p99>50ms,lost>0,errors>0,errors.dial>0,errors.closed 4001>0,cpu>1ms,memory>16k,rate.joins<10,event_gaps>0", false, ""},
		{"roles", "late>0,told.p99>1s,delivery.max>2s,errors.api>0,errors.not_allowed>0", false, ""},
		{"idle", "memory>16KB,goroutines>100,connections<10", false, ""},
		{"rooms", "ratio.floor.cpu>3", true, ""},
		{"rooms", "ratio.floor.cpu>3", false, "--yardstick"},
		{"rooms", "late>0", false, `no count "late"`},
		{"rooms", "lots>0", false, `did you mean "lost"`},
		{"join", "told.p99>1s", false, `no latency "told"`},
		{"join", "rate.published<1", false, `no rate "published"`},
		{"join", "errors.dail>0", false, `did you mean "dial"`},
		{"dance", "lost>0", false, "no scenario"},
	} {
		conditions, err := ParseConditions(test.conditions)
		if err != nil {
			t.Fatal(err)
		}
		err = conditions.Check(test.scenario, test.yardsticks)
		if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s of %s: got %v, want %s", test.conditions, test.scenario, err, test.want)
		}
	}
}

// What a yardstick did wrong stands beside the ratio to it.
func TestFaultsBesideRatios(t *testing.T) {
	ours, theirs := round(10, 1, 0), round(20, 1, 3)
	if got := faultWords(theirs); got != "lost 3, 3 errors" {
		t.Errorf("got %q", got)
	}
	ours.Ratios = ratios("floor", []Result{ours}, []Result{theirs})
	for i := range ours.Ratios {
		ours.Ratios[i].Faults = faultWords(theirs)
	}
	var b strings.Builder
	if err := WriteTable(&b, ours); err != nil || !strings.Contains(b.String(), "  floor (lost 3, 3 errors) ") || !strings.Contains(b.String(), "flatter") {
		t.Errorf("got %v and\n%s", err, b.String())
	}
	theirs.Scenario, theirs.Server, ours.Scenario, ours.Server = "join", "floor", "join", "usher"
	if got := string(measuredPart(Performance{Rounds: [][]Result{{ours, theirs}}})); !strings.Contains(got, "0.50 †") || !strings.Contains(got, "\n† The yardstick lost") {
		t.Errorf("got\n%s", got)
	}
}
