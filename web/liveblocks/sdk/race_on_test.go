//go:build race

package sdk_test

// raceDetector is whether the server is built with the race detector, as the tests are.
const raceDetector = true
