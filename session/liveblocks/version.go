package liveblocks

import (
	"strconv"
	"strings"
)

// speaksLegacy reports whether a client of that npm version knows only the
// permissions "room:write" and the like: since 3.20.0 they are "*:write" and so on.
// A version that is none is a client under development, as new as its path.
func speaksLegacy(version string, old bool) bool {
	numbers := strings.SplitN(version, ".", 3)
	major, err := strconv.Atoi(numbers[0])
	if err != nil || len(numbers) < 2 {
		return old
	}
	minor, err := strconv.Atoi(numbers[1])
	if err != nil {
		return old
	}
	return major < 3 || major == 3 && minor < 20
}
