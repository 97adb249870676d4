package loadtest

import "golang.org/x/sys/unix"

// processCPU is what a process has used so far, in seconds, by its own clock: that
// counts nanoseconds, where /proc counts hundredths of a second, which is a tenth of
// what a storm of a thousand costs.
func processCPU(pid int) (float64, bool) {
	const scheduled = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, false
	}
	return float64(ts.Nano()) / 1e9, true
}
