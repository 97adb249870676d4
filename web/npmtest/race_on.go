//go:build race

package npmtest

// raceDetector is whether the server is built with the race detector, as the tests are.
const raceDetector = true
