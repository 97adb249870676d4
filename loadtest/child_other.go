//go:build !linux

package loadtest

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
