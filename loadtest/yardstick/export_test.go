package yardstick

import "testing"

// LimitRosters sets how many members a room tells of, for one test. Servers
// have to be started after it.
func LimitRosters(t *testing.T, n int) {
	before := rosterLimit
	rosterLimit = n
	t.Cleanup(func() { rosterLimit = before })
}
