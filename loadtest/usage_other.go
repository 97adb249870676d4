//go:build !unix

package loadtest

// ownCPU is not known here.
func ownCPU() float64 { return 0 }
