package loadtest

import "syscall"

// childAttributes: an interrupt at the terminal is for the load test, which
// then ends its servers; when it dies they go with it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
