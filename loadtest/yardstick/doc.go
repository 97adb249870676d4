// Package yardstick holds two servers that a load test measures usher against,
// on the machine at hand and with the same load generator: figures of another
// machine say nothing, ratios do.
//
// The floor is the least work that does the job: one thread, one epoll
// instance, system calls made directly, frames made by hand. What a message
// costs it is close to what the kernel takes for it. It is what usher could at
// best become, not what anybody should run.
//
// The naive one is the hub that a competent engineer writes in an afternoon
// with net/http, coder/websocket and encoding/json: a goroutine that reads, one
// that writes, a channel between hub and connection, one mutex for the hub. It
// is what usher has to be worth its trouble against.
//
// # What they do
//
// As much of usher.v1 (docs/protocol.md) as a load test drives, in the very bytes
// that usher sends, which a test holds them to (but package json's escapes of <,
// > and & in the naive one): tokens are verified by usher's own package auth, and who
// joins gets the whole roster. Both know
//
//   - join, answered by joined and told to others by participantJoined;
//     participantLeft, with trackUnpublished before it, when somebody goes;
//     the newest connection of an identity puts out the one before;
//   - publishData (payload, topic, encoding, reliable, id), told by data;
//   - publishTrack, told by trackPublished and trackSubscribed; binary frames
//     with a handle of one's own reach everybody else byte for byte;
//   - ping, ack and leave; every other type is answered by ok when it has an id
//     and does nothing.
//
// In a room of more than 1000, joined lists those who publish and a join is not
// announced; whoever is missing in somebody's list is announced before the first
// thing that comes of them. This is usher's rule, and the work of joining such a
// room hangs on it.
//
// # What they leave out
//
// Permissions beyond roomJoin (participants tell theirs, nothing is enforced),
// resume and its counting (a cut connection leaves at once), refreshed tokens,
// presence, subscriptions (everybody receives every track; unpublishTrack and
// muteTrack do nothing), key frames, destinations (refused, so that nobody
// measures them by mistake), hidden participants, lobbies, numParticipants of big
// rooms, growing ids, the admin API, metrics, TLS, rate limits, pings by the server
// (pingIntervalMs is told all the same; the kernel's keep-alive finds the dead).
// The floor refuses messages in fragments, which no client of usher.v1 sends, and
// matches the names of fields exactly.
//
// # Why that is fair
//
// What is left out either costs nothing while a load test's scenarios run, or is
// what usher offers for its cost: a ratio to the floor is the price of having
// it. Two differences are by design. Usher announces the joins of 20 ms in one
// event in rooms of more than 32; the yardsticks announce each, as both
// would be written without that idea, so usher can beat the floor there. And
// usher signs and sends a refreshed token after each joined, some 500 bytes that
// the yardsticks do not send.
package yardstick
