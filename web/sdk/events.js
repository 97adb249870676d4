// Names. Those that livekit-client has are spelt as there; those of usher alone
// are marked.

export const RoomEvent = Object.freeze({
  Connected: "connected",
  Reconnecting: "reconnecting",
  SignalReconnecting: "signalReconnecting",
  Reconnected: "reconnected",
  Disconnected: "disconnected",
  ConnectionStateChanged: "connectionStateChanged",
  SignalConnected: "signalConnected",
  Moved: "moved",
  ParticipantConnected: "participantConnected",
  ParticipantDisconnected: "participantDisconnected",
  ParticipantActive: "participantActive",
  ParticipantMetadataChanged: "participantMetadataChanged",
  ParticipantNameChanged: "participantNameChanged",
  ParticipantAttributesChanged: "participantAttributesChanged",
  ParticipantPermissionsChanged: "participantPermissionsChanged",
  TrackPublished: "trackPublished",
  TrackUnpublished: "trackUnpublished",
  TrackSubscribed: "trackSubscribed",
  TrackUnsubscribed: "trackUnsubscribed",
  TrackSubscriptionFailed: "trackSubscriptionFailed",
  TrackSubscriptionStatusChanged: "trackSubscriptionStatusChanged",
  TrackSubscriptionPermissionChanged: "trackSubscriptionPermissionChanged",
  TrackMuted: "trackMuted",
  TrackUnmuted: "trackUnmuted",
  LocalTrackPublished: "localTrackPublished",
  LocalTrackUnpublished: "localTrackUnpublished",
  RoomMetadataChanged: "roomMetadataChanged",
  DataReceived: "dataReceived",
  MediaDevicesError: "mediaDevicesError",
  ActiveDeviceChanged: "activeDeviceChanged",
  ActiveSpeakersChanged: "activeSpeakersChanged",
  AudioPlaybackStatusChanged: "audioPlaybackChanged",
  // usher's:
  TokenRefreshed: "tokenRefreshed",
  TokenProviderFailed: "tokenProviderFailed",
  PresenceChanged: "presenceChanged",
  ParticipantStateChanged: "participantStateChanged",
  ParticipantCountChanged: "participantCountChanged",
  Waiting: "waiting",
  WaitingParticipantJoined: "waitingParticipantJoined",
  WaitingParticipantLeft: "waitingParticipantLeft",
  SessionDataChanged: "sessionDataChanged",
  StayLimitChanged: "stayLimitChanged",
});

export const ParticipantEvent = Object.freeze({
  Active: "active",
  TrackPublished: "trackPublished",
  TrackUnpublished: "trackUnpublished",
  TrackSubscribed: "trackSubscribed",
  TrackUnsubscribed: "trackUnsubscribed",
  TrackSubscriptionFailed: "trackSubscriptionFailed",
  TrackSubscriptionStatusChanged: "trackSubscriptionStatusChanged",
  TrackSubscriptionPermissionChanged: "trackSubscriptionPermissionChanged",
  TrackMuted: "trackMuted",
  TrackUnmuted: "trackUnmuted",
  LocalTrackPublished: "localTrackPublished",
  LocalTrackUnpublished: "localTrackUnpublished",
  ParticipantMetadataChanged: "participantMetadataChanged",
  ParticipantNameChanged: "participantNameChanged",
  AttributesChanged: "attributesChanged",
  ParticipantPermissionsChanged: "participantPermissionsChanged",
  DataReceived: "dataReceived",
  MediaDevicesError: "mediaDevicesError",
  IsSpeakingChanged: "isSpeakingChanged",
  // usher's:
  PresenceChanged: "presenceChanged",
  StateChanged: "stateChanged",
  StayLimitChanged: "stayLimitChanged",
});

export const TrackEvent = Object.freeze({
  Muted: "muted",
  Unmuted: "unmuted",
  Ended: "ended",
  Restarted: "restarted",
  Subscribed: "subscribed",
  Unsubscribed: "unsubscribed",
  SubscriptionStatusChanged: "subscriptionStatusChanged",
  SubscriptionPermissionChanged: "subscriptionPermissionChanged",
  SubscriptionFailed: "subscriptionFailed",
  ElementAttached: "elementAttached",
  ElementDetached: "elementDetached",
  Error: "error", // usher's: a track that can be decoded no more
});

export const ConnectionState = Object.freeze({
  Disconnected: "disconnected",
  Connecting: "connecting",
  Connected: "connected",
  Reconnecting: "reconnecting",
  SignalReconnecting: "signalReconnecting",
  Waiting: "waiting", // usher's: to be let in
});

// named makes an object that maps names to numbers, and back.
function named(numbers) {
  const both = { ...numbers };
  for (const [name, number] of Object.entries(numbers)) both[number] = name;
  return Object.freeze(both);
}

export const DisconnectReason = named({
  UNKNOWN_REASON: 0,
  CLIENT_INITIATED: 1,
  DUPLICATE_IDENTITY: 2,
  SERVER_SHUTDOWN: 3,
  PARTICIPANT_REMOVED: 4,
  ROOM_DELETED: 5,
  STATE_MISMATCH: 6,
  JOIN_FAILURE: 7,
  MIGRATION: 8,
  SIGNAL_CLOSE: 9,
  ROOM_CLOSED: 10,
  USER_UNAVAILABLE: 11,
  USER_REJECTED: 12,
  SIP_TRUNK_FAILURE: 13,
  CONNECTION_TIMEOUT: 14,
  MEDIA_FAILURE: 15,
  AGENT_ERROR: 16,
});

export const DataPacket_Kind = named({ RELIABLE: 0, LOSSY: 1 });

/** ParticipantKind is by name, as the protocol has it; LiveKit's is by number. */
export const ParticipantKind = Object.freeze({
  STANDARD: "standard",
  INGRESS: "ingress",
  EGRESS: "egress",
  SIP: "sip",
  AGENT: "agent",
  CONNECTOR: "connector",
  BRIDGE: "bridge",
});

export const Kind = Object.freeze({ Audio: "audio", Video: "video", Unknown: "unknown" });

export const Source = Object.freeze({
  Camera: "camera",
  Microphone: "microphone",
  ScreenShare: "screen_share",
  ScreenShareAudio: "screen_share_audio",
  Unknown: "unknown",
});

export const SubscriptionStatus = Object.freeze({
  Desired: "desired",
  Subscribed: "subscribed",
  Unsubscribed: "unsubscribed",
});

export const PermissionStatus = Object.freeze({ Allowed: "allowed", NotAllowed: "not_allowed" });

/** reasonNamed turns the protocol's word for a leave into a DisconnectReason. */
export function reasonNamed(word) {
  const number = DisconnectReason[word];
  return typeof number === "number" ? number : DisconnectReason.UNKNOWN_REASON;
}
