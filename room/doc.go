// Package room holds all state and rules of rooms: who is in them, what each
// may do, what the others are told.
//
// It knows no socket, no wire format, no HTTP and no token format. A session
// gives it a [Conn] to write to and an [Encoder] that turns events into frames;
// everything else is memory. That lets its rules be tested in microseconds.
//
// # Two halves
//
// A [Room] is the authority: it owns members, identities, the limit, live
// statements and the sequence of state events. Commands go in, ordered
// [Event]s come out. Its audience is one node's part: the local listeners with
// their outboxes, and each track's receivers; it applies events in order. On one
// process both share the room's mutex and a plain call lies between them.
//
// # Check and place are one step
//
// Everything a participant asks for is checked and its effects are queued in
// one critical section of the room's mutex: the connection's generation is
// current, the participant is a member, the permission holds, the frames are
// appended to the outboxes. A change of permission takes the same mutex. So
// when it returns nothing that the old permission allowed is on its way any
// more, and whoever is told of it gets nothing of that kind afterwards.
// Encoding, signing and writing happen after the unlock, in [Batch.Flush].
//
// # A record and a life
//
// A room's record is durable: what server APIs have made of it, a part for each,
// and what was stated about people. Its life is the people in it, a [Room], which
// begins when somebody comes; a record alone has none. The record has an id, and
// its name is an index. What lets somebody in is asked under the room's mutex: of
// the token, and of the access list if the token leaves it to that, at that moment
// (entry.go).
//
// An edit of the access list goes to the store behind those before it, in groups.
// Until it is durable nobody has more than by the list before and the list after
// it: so it takes away before it is written, and gives afterwards. If it cannot be
// written, what it takes stays taken (part.go). Edits of several rooms' Daily parts
// that are made of all or none are one write (joint.go). Narrowing wins over what was
// allowed live: to those who are there at once; of others the record remembers
// what each level of the list has lost, for when they come (losses.go).
//
// # The lobby
//
// Whoever has to wait to be let in has a connection and nothing else here: it is in
// no list, count or event, no resume finds it, and only moderators are told of it.
// Letting it in is the ordinary join, at that moment, with all that is checked then
// (lobby.go).
//
// # Times
//
// When somebody is put out is fixed when it joins, goes along with its session and
// its refreshed tokens, and is changed by [Room.LimitStay] alone (stay.go). That,
// grace periods, leases and refreshes are alarms on one wheel (wheel.go).
//
// # Locks
//
// In this order, none while holding a later one: Rooms.mu, Room.mu, Outbox.mu;
// below a room's a record's mu, below that the listing's. Revocations, actor
// numbers, early tokens, touched records, the wheel and what was said of sessions'
// times have a mutex of their own each, a leaf below all of them. Under a lock there
// are only memory operations, and, when a record changes, its encoding for the store.
// Two rooms are never locked together.
package room
