// Package liveblocks serves Liveblocks' REST API, /v2/…, so that an
// application's backend manages rooms and access with the Liveblocks SDK it
// already has.
//
//	POST   /v2/identify-user                        an ID token
//	POST   /v2/authorize-user                       an access token
//	GET    /v2/rooms                                rooms, the newest first, by pages
//	POST   /v2/rooms                                make one; with ?idempotent also when it exists
//	GET    /v2/rooms/{room}                         one room
//	POST   /v2/rooms/{room}                         change it; null removes
//	DELETE /v2/rooms/{room}                         end it
//	POST   /v2/rooms/{room}/upsert                  change it, or make it
//	GET    /v2/rooms/{room}/prewarm                 does nothing
//	POST   /v2/rooms/{room}/update-room-id          rename it
//	POST   /v2/rooms/{room}/update-organization-id  give it to another organization
//	GET    /v2/rooms/{room}/active-users            who is in it
//	POST   /v2/rooms/{room}/broadcast-event         an event to everybody in it
//	POST   /v2/rooms/{room}/presence                presence of somebody without a connection
//	GET    /v2/rooms/{room}/storage                 the empty root
//
// All else that Liveblocks has under /v2/ is answered with NOT_OFFERED, what
// pages call (/v2/c/…, see [Client]) included.
//
// # Who may call
//
// Whoever holds the project's secret key. It is compared in constant time, and
// nothing of a request is read before.
//
// # When an answer comes
//
// A change is answered when it is durable and in force: whoever lost access is
// out by then, and nothing that needs a right taken away comes through any more.
//
// # Where it differs from Liveblocks
//
//   - Changed access reaches the people in the room at once.
//   - Every error has error, message and mostly suggestion. A field that there is
//     not is an error, since a misspelt usersAccesses must not pass for a change.
//   - Deleting a room that does not exist is 404, as Liveblocks' documentation
//     has it; its development server says 204.
//   - An event is as large as limits.data_bytes allows, presence as in a session.
//   - userInfo and groups have to fit the address of a WebSocket's request, see
//     maxToken.
//   - Filters match a metadata list by any of its texts; Liveblocks' filters pass
//     over lists.
//
// Protocol facts are from the published source of @liveblocks/node and
// @liveblocks/core 3.24.2, and from Liveblocks' public documentation.
package liveblocks
