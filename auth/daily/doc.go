// Package daily reads and makes Daily's meeting tokens, and knows Daily's words
// for what people may do in a room.
//
// A token is a JWT, HS256, whose payload has short names. The claim d is the id of
// a domain, and the token is signed with one of that domain's keys: with an API
// key by an application that signs itself, or with the token secret by a server
// that was asked for one. It says nothing of which, so each is tried.
//
// # Names
//
//	exp, nbf, iat                          as in every JWT; to the second, without leeway
//	d   the domain's id                    r    room_name
//	ud  user_id                            u    user_name
//	o   is_owner                           k    knocking
//	p   permissions                        ss   enable_screenshare
//	vo  start_video_off                    ao   start_audio_off
//	ejt eject_at_token_exp                 eje  eject_after_elapsed
//	er  enable_recording                   erui enable_recording_ui
//	sr  start_cloud_recording              sro  start_cloud_recording_opts
//	ast auto_start_transcription           uil  lang
//	ctoe close_tab_on_exit                 rome redirect_on_meeting_exit
//	ij  intercom_join_alert                mjh  meeting_join_hook
//
// Three have no short name and stand in a token as they are: enable_prejoin_ui,
// enable_live_captions_ui, enable_terse_logging. Names count in this case of
// letters only. Claims that are not in the table are nobody's business and are
// kept. Those from d to eje mean something here, and one of them that is of
// another type than it has to be makes the token malformed; the others are told by
// [Properties].
//
// # Permissions, and what they are in usher's rights
//
//	long             short  value
//	hasPresence      hp     a boolean; false is Hidden
//	canSend          cs     a boolean or a list
//	  video            v      SendCamera
//	  audio            a      SendMicrophone
//	  screenVideo      sv     SendScreenShare
//	  screenAudio      sa     SendScreenShareAudio
//	  customVideo      cv     SendCustomVideo
//	  customAudio      ca     SendCustomAudio
//	canReceive       cr     an object
//	  base             b      the rights to receive, one for each source
//	  byUserId         u      ReceiveFromIdentity
//	  byParticipantId  p      ReceiveFromParticipant
//	canAdmin         ca     a boolean or a list
//	  participants     p      ModerateParticipants
//	  streaming        s      ModerateStreaming
//	  transcription    t      ModerateTranscription
//
// A list is an array of long names, or a text of short ones with commas between
// them, as tokens have it. What may be received is a boolean or an object with a
// boolean for each kind of media. Custom media is an object of booleans by the
// names of tracks, where "*" is all others: usher knows one source of custom video
// and one of custom audio, which is open when "*" and everything beside it is true.
// As base an object has all six kinds. In the maps, whose key "*" is everybody who
// is not in them, what an object leaves out is as in the base beside it, so it
// takes one. Data tracks, of which Daily has none, are received by whoever receives
// anything.
//
// Daily has no word for data messages, presence and one's own metadata: whoever is
// in a room may.
//
// # Who decides
//
// What people may do who are no owners is decided by the domain, over that by the
// room, over that by the token, each of the four permissions by itself and as a
// whole. An owner may do everything, whatever those say. A room without a Daily
// part says nothing, and people without a token may not be in it.
//
// # Refreshed tokens
//
// A refreshed token has every claim of the original but for iat and exp, and a
// claim live with what its session is: it is for one room, and takes from what its
// holder is given whatever the session had been denied. Whoever knocked knocks again
// with it, for only coming back to the same session does without. Since
// exp of the original says until when one may enter, the claim usher keeps that,
// and it keeps when the session is put out.
package daily
