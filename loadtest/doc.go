// Package loadtest answers how many people a server holds, and what happens
// when they all come at once. It speaks the native protocol (docs/protocol.md)
// with real tokens, and believes nothing: every delivery that is due is counted,
// and the order of each sender's messages is checked at each receiver.
//
// # Scenarios
//
//   - join: people come to rooms of a few. Over when everybody's list is complete.
//   - storm: everybody comes to one room at one moment.
//   - idle: people come, and then do nothing: memory and goroutines of a connection.
//   - fanout: one sends to all others, with a window of messages outstanding.
//   - rooms: everybody in many rooms sends at a rate.
//   - video: a few publish tracks with key frames, temporal layers and fragments.
//   - roles: rights are taken and given by the server API while whom it concerns
//     goes on sending. What is received too late is counted as late.
//   - refresh: refreshed tokens come, hold, and let their holder in again.
//   - reconnect: almost all connections are cut at once; all resume, and miss nothing.
//   - slow: some stop reading; what do the others notice, and are the slow ones
//     sent away with a code that says to come back?
//   - soak: a bit of everything, with the server's lists compared now and then.
//
// # What latencies count from
//
// fanout is a closed loop: the next message waits for those before, so a slow
// server is asked for less, and a latency counts from when its message was sent.
// join without a rate is one, too: a join counts from when its connection was
// begun. Both measure cost, and the latency at that load and no other. refresh
// skips people whose last change has not brought its token yet, and roles makes
// the next call when the one before has been answered.
//
// All else is an open loop: everything has its moment, and its latency counts
// from that moment, so that a server that stalls pays for all that was due
// meanwhile (this is what coordinated omission is about).
//
// # What is counted
//
// lost is what was due and had not come when the drain's time was over. doubled
// came again, misordered came after a later message of the same sender; one that
// was overtaken by 64 or more counts as doubled and as lost. In soak, where people
// come and go, what is due to a receiver begins with the first message of a sender
// that it gets, or with the first one sent after the server has let it in, whichever
// is earlier; gaps after that are lost. In join, storm and idle what is due is that
// each knows of each other. In video it is every fragment, though a server may
// drop frames for who cannot keep up. event_gaps are missing numbers between a room's
// events. late, in roles, is a message that a receiver got after it was told that
// its sender may not send, or one that was sent after the API had answered.
//
// # How it is built
//
// A few threads with epoll serve all connections with a buffer each (elsewhere,
// and with TLS, a goroutine each). Nothing on the way of a message is decoded:
// see scan.go. A person is guarded by its own lock; a socket, beneath it, by
// its own.
package loadtest
