//go:build !race

package npmtest

const raceDetector = false
