package sdk_test

import (
	"regexp"
	"testing"
)

// sections is what is known of Daily, by number: transport (0); tokens (1.1
// properties, 1.2 self-signed, 1.3 abbreviations, 1.4 asking for one, 1.5 validating
// one, 1.6 by oneself, 1.7 times, 1.8 bad ones, 1.9 revocation); rooms (2.1 what they
// are, 2.2 calls, 2.3 properties); live control (3); permissions and the lobby (4);
// webhooks (5).
var sections = []string{
	"0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6",
	"1.7.1", "1.7.2", "1.7.3", "1.7.4", "1.7.5", "1.7.6", "1.7.7", "1.7.8", "1.7.9",
	"1.8", "1.9", "2.1", "2.2", "2.3", "3", "4", "5",
}

var section = regexp.MustCompile(`§(\d(?:\.\d+)*)`)

// Each section of what is known of Daily has a scenario that is named with it, and
// that [TestScenarios] plays: it plays whatever run.mjs lists.
func TestSectionsAreTested(t *testing.T) {
	played := map[string]bool{}
	for _, name := range suite.Player(t).Scenarios {
		for _, m := range section.FindAllStringSubmatch(name, -1) {
			played[m[1]] = true
		}
	}
	for _, s := range sections {
		if !played[s] {
			t.Errorf("no scenario is named with §%s", s)
		}
	}
}
