//go:build !linux

package store_test

import (
	"errors"
	"os/exec"
)

func isolate(*exec.Cmd) bool { return false }

func mountSmall(string) error { return errors.ErrUnsupported }
