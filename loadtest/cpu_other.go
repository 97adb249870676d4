//go:build !linux

package loadtest

// processCPU is known on Linux only.
func processCPU(int) (float64, bool) { return 0, false }
