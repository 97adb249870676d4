// Package liveblocks reads and writes the tokens of Liveblocks: ID tokens, which
// say who somebody is and leave to the rooms what they may do there, access
// tokens, which say that themselves by patterns of room names, and public keys,
// which come without a token. It knows Liveblocks' permission strings and what
// they come to.
//
// What holds here was learned from the client, @liveblocks/core 3.24.2, whose
// source is public, and from Liveblocks' documentation; every fact below names
// the one it is from. The client reads a token's payload and looks neither at
// its signature nor at its algorithm, so both are ours: HS256, with the key
// named by the header's kid. It wants k, pid, uid, iat and exp, for an ID token
// gids, for an access token perms, for both ui if there is any
// (protocol/AuthToken.ts). A claim jti is needed too: the client takes no token
// twice from an auth endpoint (auth-manager.ts). The claim org is ours.
//
// # Permission strings
//
// A list has a base, *:read or *:write, and may state features otherwise:
//
//	*:read *:write                  the base; room:read and room:write are older names of it
//	storage:{none,read,write}       the document, Yjs included
//	comments:{none,read,write}      and comments:public, comments:private by themselves
//	feeds:{none,read,write}
//	room:presence:write             older, without effect: every base gives presence
//
// A list without a base gives nothing at all. What it does not state of storage,
// feeds and comments goes by its base, public and private comments go by
// comments. (permissions.ts)
//
// # Who decides
//
// For an ID token, each feature and the base are decided by the strongest level
// of the room's access list that states them: what the list says of the user,
// else of the user's groups, of which the most permissive counts, else its
// default. An empty list states nothing, so that it takes nothing from anybody.
// (permissions.ts, mergeRoomPermissionScopes)
//
// For an access token, the base is the strongest of all patterns that match the
// room's name, and each feature goes by the longest pattern that states it, the
// most permissive of those. (permissions.ts, resolveRoomPermissionMatrix)
//
// # What that is in usher's rights
//
//	any base         SendPresence, ReceiveTracks, and SendData unless a project closes it to readers
//	storage          read: ReadStorage · write: also WriteStorage
//	comments:public  read: ReadPublicComments · write: also WritePublicComments
//	comments:private read: ReadPrivateComments · write: also WritePrivateComments
//	feeds            read: ReadFeeds · write: also WriteFeeds
//
// Without a base somebody may not be in the room. Nothing gives what Liveblocks
// has no word for: publishing tracks, changing one's own metadata, moderation. A
// live statement can.
package liveblocks
