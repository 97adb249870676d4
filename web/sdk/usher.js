// usher's browser SDK: import { Room } from "/sdk/usher.js". docs/browser-sdk.md
// shows how to use it; usher.d.ts has the types.

export { Room } from "./room.js";
export {
  ConnectionState, DataPacket_Kind, DisconnectReason, ParticipantEvent, ParticipantKind, RoomEvent, TrackEvent,
} from "./events.js";
export {
  ConnectionError, ConnectionErrorReason, LimitError, LostError, MediaDeviceFailure, NotFoundError, PermissionError, PublishTrackError,
  RequestError, RpcError, TokenProviderError, UnexpectedConnectionState, UnsupportedError, UsherError,
} from "./errors.js";
export { Participant, RemoteParticipant } from "./participant.js";
export { LocalParticipant } from "./local.js";
export { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from "./publication.js";
export {
  LocalAudioTrack, LocalTrack, LocalVideoTrack, RemoteAudioTrack, RemoteTrack, RemoteVideoTrack, Track,
  createLocalAudioTrack, createLocalScreenTracks, createLocalTracks, createLocalVideoTrack,
} from "./tracks.js";
export { capabilities } from "./media.js";
export { MediaError } from "./media/errors.js";
export { decodeToken } from "./token.js";

export const version = "0.1.0";
