//go:build !linux

package loadtest

import "net"

func newTransport(at endpoint, _ int) (transport, error) { return newPortable(at), nil }

// raiseDescriptors: Go has raised the soft limit already.
func raiseDescriptors(want int) int { return want }

// loopbackSources: 127.0.0.1 is the only one that is set up everywhere.
func loopbackSources(net.IP) []net.IP { return nil }
