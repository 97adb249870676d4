// Types of usher's browser SDK. What carries livekit-client's names has its
// shapes; what is usher's alone says so.

export {}; // what is not marked stays in here

type Listener<A extends unknown[]> = (...args: A) => void;

declare class TypedEmitter<Events extends { [name: string]: unknown[] }> {
  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this;
  once<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this;
  off<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this;
  addListener<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this;
  removeListener<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this;
  removeAllListeners(event?: keyof Events): this;
  listeners<E extends keyof Events>(event: E): Listener<Events[E]>[];
  listenerCount(event: keyof Events): number;
  emit<E extends keyof Events>(event: E, ...args: Events[E]): boolean;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Presence = { readonly [key: string]: Json };

export declare const version: string;

// ---------------------------------------------------------------- names

export declare enum ConnectionState {
  Disconnected = "disconnected",
  Connecting = "connecting",
  Connected = "connected",
  /** The session is lost; the room is being joined anew. */
  Reconnecting = "reconnecting",
  /** The connection was cut; the session is going to be resumed, with nothing lost. */
  SignalReconnecting = "signalReconnecting",
  /** Somebody has to let one in: usher's. */
  Waiting = "waiting",
}

export declare enum RoomEvent {
  Connected = "connected",
  Reconnecting = "reconnecting",
  SignalReconnecting = "signalReconnecting",
  Reconnected = "reconnected",
  Disconnected = "disconnected",
  ConnectionStateChanged = "connectionStateChanged",
  SignalConnected = "signalConnected",
  Moved = "moved",
  ParticipantConnected = "participantConnected",
  ParticipantDisconnected = "participantDisconnected",
  ParticipantActive = "participantActive",
  ParticipantMetadataChanged = "participantMetadataChanged",
  ParticipantNameChanged = "participantNameChanged",
  ParticipantAttributesChanged = "participantAttributesChanged",
  ParticipantPermissionsChanged = "participantPermissionsChanged",
  TrackPublished = "trackPublished",
  TrackUnpublished = "trackUnpublished",
  TrackSubscribed = "trackSubscribed",
  TrackUnsubscribed = "trackUnsubscribed",
  TrackSubscriptionFailed = "trackSubscriptionFailed",
  TrackSubscriptionStatusChanged = "trackSubscriptionStatusChanged",
  TrackSubscriptionPermissionChanged = "trackSubscriptionPermissionChanged",
  TrackMuted = "trackMuted",
  TrackUnmuted = "trackUnmuted",
  LocalTrackPublished = "localTrackPublished",
  LocalTrackUnpublished = "localTrackUnpublished",
  RoomMetadataChanged = "roomMetadataChanged",
  DataReceived = "dataReceived",
  MediaDevicesError = "mediaDevicesError",
  ActiveDeviceChanged = "activeDeviceChanged",
  ActiveSpeakersChanged = "activeSpeakersChanged",
  AudioPlaybackStatusChanged = "audioPlaybackChanged",
  /** usher's */
  TokenRefreshed = "tokenRefreshed",
  /** usher's: no token came while reconnecting; the provider is asked again */
  TokenProviderFailed = "tokenProviderFailed",
  /** usher's */
  PresenceChanged = "presenceChanged",
  /** usher's */
  ParticipantStateChanged = "participantStateChanged",
  /** usher's */
  ParticipantCountChanged = "participantCountChanged",
  /** usher's: somebody has to let one in */
  Waiting = "waiting",
  /** usher's, for those who may let people in; also when the name of one who waits has changed */
  WaitingParticipantJoined = "waitingParticipantJoined",
  /** usher's */
  WaitingParticipantLeft = "waitingParticipantLeft",
  /** usher's */
  SessionDataChanged = "sessionDataChanged",
  /** usher's: willEjectAt is another */
  StayLimitChanged = "stayLimitChanged",
}

export declare enum ParticipantEvent {
  Active = "active",
  TrackPublished = "trackPublished",
  TrackUnpublished = "trackUnpublished",
  TrackSubscribed = "trackSubscribed",
  TrackUnsubscribed = "trackUnsubscribed",
  TrackSubscriptionFailed = "trackSubscriptionFailed",
  TrackSubscriptionStatusChanged = "trackSubscriptionStatusChanged",
  TrackSubscriptionPermissionChanged = "trackSubscriptionPermissionChanged",
  TrackMuted = "trackMuted",
  TrackUnmuted = "trackUnmuted",
  LocalTrackPublished = "localTrackPublished",
  LocalTrackUnpublished = "localTrackUnpublished",
  ParticipantMetadataChanged = "participantMetadataChanged",
  ParticipantNameChanged = "participantNameChanged",
  AttributesChanged = "attributesChanged",
  ParticipantPermissionsChanged = "participantPermissionsChanged",
  DataReceived = "dataReceived",
  MediaDevicesError = "mediaDevicesError",
  IsSpeakingChanged = "isSpeakingChanged",
  /** usher's */
  PresenceChanged = "presenceChanged",
  /** usher's */
  StateChanged = "stateChanged",
  /** usher's */
  StayLimitChanged = "stayLimitChanged",
}

export declare enum TrackEvent {
  Muted = "muted",
  Unmuted = "unmuted",
  Ended = "ended",
  Restarted = "restarted",
  Subscribed = "subscribed",
  Unsubscribed = "unsubscribed",
  SubscriptionStatusChanged = "subscriptionStatusChanged",
  SubscriptionPermissionChanged = "subscriptionPermissionChanged",
  SubscriptionFailed = "subscriptionFailed",
  ElementAttached = "elementAttached",
  ElementDetached = "elementDetached",
  /** usher's: the track can be decoded no more */
  Error = "error",
}

export declare enum DisconnectReason {
  UNKNOWN_REASON = 0,
  CLIENT_INITIATED = 1,
  DUPLICATE_IDENTITY = 2,
  SERVER_SHUTDOWN = 3,
  PARTICIPANT_REMOVED = 4,
  ROOM_DELETED = 5,
  STATE_MISMATCH = 6,
  JOIN_FAILURE = 7,
  MIGRATION = 8,
  SIGNAL_CLOSE = 9,
  ROOM_CLOSED = 10,
  USER_UNAVAILABLE = 11,
  USER_REJECTED = 12,
  SIP_TRUNK_FAILURE = 13,
  CONNECTION_TIMEOUT = 14,
  MEDIA_FAILURE = 15,
  AGENT_ERROR = 16,
}

export declare enum DataPacket_Kind {
  RELIABLE = 0,
  LOSSY = 1,
}

/** By name; LiveKit's is by number. */
export declare enum ParticipantKind {
  STANDARD = "standard",
  INGRESS = "ingress",
  EGRESS = "egress",
  SIP = "sip",
  AGENT = "agent",
  CONNECTOR = "connector",
  BRIDGE = "bridge",
}

// ---------------------------------------------------------------- errors

export declare class UsherError extends Error {
  /** Which error, for programs: a word, a close code, or a code of a remote call. */
  code: string | number;
}

export declare enum ConnectionErrorReason {
  NotAllowed = 0,
  ServerUnreachable = 1,
  InternalError = 2,
  Cancelled = 3,
  LeaveRequest = 4,
  Timeout = 5,
  WebSocket = 6,
  ServiceNotFound = 7,
  /** Nobody let one in: usher's. */
  NotAdmitted = 100,
}

export declare class ConnectionError extends UsherError {
  /** The close code; 1006 when the server was not reached. */
  code: number;
  reason: ConnectionErrorReason;
  reasonName: string;
  /** The server's word: "token_expired", "origin_not_allowed", … */
  closeReason: string;
  status?: number;
  context?: DisconnectReason;
}

/** A tokenProvider that has failed, or did not answer in time. */
export declare class TokenProviderError extends UsherError {
  code: "token_provider";
}

export declare class RequestError extends UsherError {
  code: string;
  /** The type of message that was refused, as in docs/protocol.md. */
  request?: string;
}

export declare class PermissionError extends RequestError {
  code: "not_allowed";
  /** What is missing: "canPublish", "roomAdmin", … */
  permission?: string;
  /** Who decided it: "token", or "live" for an administrator. */
  layer?: string;
}

export declare class LimitError extends RequestError {}
export declare class NotFoundError extends RequestError {}

export declare class LostError extends RequestError {
  code: "lost";
  outcome: "not_done" | "unknown";
}

export declare class UnexpectedConnectionState extends UsherError {}
export declare class UnsupportedError extends UsherError {}
export declare class PublishTrackError extends UsherError {}

export declare class MediaError extends Error {
  constructor(code: MediaError["code"], message: string, more?: { cause?: unknown; source?: string });
  code: "unsupported" | "insecure" | "denied" | "cancelled" | "device_not_found" | "in_use" | "constraints"
    | "ended" | "capture" | "encoder" | "decoder" | "blocked";
  /** Of which source ("camera", "microphone", "screen_share", …), if of one. */
  source?: string;
}

export declare const MediaDeviceFailure: {
  readonly PermissionDenied: "PermissionDenied";
  readonly NotFound: "NotFound";
  readonly DeviceInUse: "DeviceInUse";
  readonly Other: "Other";
  getFailure(error: unknown): "PermissionDenied" | "NotFound" | "DeviceInUse" | "Other" | undefined;
};

export declare class RpcError extends UsherError {
  static MAX_MESSAGE_BYTES: number;
  static MAX_DATA_BYTES: number;
  static ErrorCode: {
    readonly APPLICATION_ERROR: 1500;
    readonly CONNECTION_TIMEOUT: 1501;
    readonly RESPONSE_TIMEOUT: 1502;
    readonly RECIPIENT_DISCONNECTED: 1503;
    readonly RESPONSE_PAYLOAD_TOO_LARGE: 1504;
    readonly SEND_FAILED: 1505;
    readonly UNSUPPORTED_METHOD: 1400;
    readonly RECIPIENT_NOT_FOUND: 1401;
    readonly REQUEST_PAYLOAD_TOO_LARGE: 1402;
    readonly UNSUPPORTED_SERVER: 1403;
    readonly UNSUPPORTED_VERSION: 1404;
  };
  code: number;
  data?: string;
  constructor(code: number, message: string, data?: string, options?: { cause?: unknown });
}

export interface RpcInvocationData {
  requestId: string;
  /** Always empty: it is the application's backend that calls. */
  callerIdentity: string;
  payload: string;
  /** ms */
  responseTimeout: number;
}

// ---------------------------------------------------------------- options

export interface VideoResolution {
  width: number;
  height: number;
  frameRate?: number;
}

export interface VideoCaptureOptions {
  deviceId?: ConstrainDOMString;
  facingMode?: "user" | "environment" | "left" | "right";
  frameRate?: number | { ideal?: number; max?: number };
  resolution?: VideoResolution;
}

export interface AudioCaptureOptions {
  deviceId?: ConstrainDOMString;
  autoGainControl?: boolean;
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  channelCount?: number;
}

export interface ScreenShareCaptureOptions {
  audio?: boolean | AudioCaptureOptions;
  video?: true | { displaySurface?: "window" | "browser" | "monitor" };
  resolution?: VideoResolution;
}

export interface VideoEncoding {
  maxBitrate: number;
  maxFramerate?: number;
}

export interface TrackPublishDefaults {
  videoCodec?: "vp8" | "vp9" | "h264" | "av1";
  videoEncoding?: VideoEncoding;
  screenShareEncoding?: VideoEncoding;
  audioPreset?: { maxBitrate: number };
  /** Temporal layers only: "L1T1", "L1T2", "L1T3". */
  scalabilityMode?: string;
  stopMicTrackOnMute?: boolean;
}

export interface TrackPublishOptions extends TrackPublishDefaults {
  name?: string;
  source?: Track.Source;
}

export interface ReconnectContext {
  /** Of attempts since a connection that held for 10 s. */
  retryCount: number;
  elapsedMs: number;
  retryReason?: string;
  serverUrl?: string;
}

export interface ReconnectPolicy {
  /** How long to wait, or null to give up. */
  nextRetryDelayInMs(context: ReconnectContext): number | null;
}

export interface RoomOptions {
  /**
   * Called when no token is left that has not run out: usher's. It has as long as
   * an attempt to connect, 15 s unless websocketTimeout says otherwise.
   */
  tokenProvider?: () => Promise<string> | string;
  /** By default the room comes back for as long as it takes. */
  reconnectPolicy?: ReconnectPolicy;
  videoCaptureDefaults?: VideoCaptureOptions;
  audioCaptureDefaults?: AudioCaptureOptions;
  publishDefaults?: TrackPublishDefaults;
  /** Default true. */
  stopLocalTrackOnUnpublish?: boolean;
  /** Default true: leave at once when the page goes away. */
  disconnectOnPageLeave?: boolean;
}

export interface RoomConnectOptions {
  /** Default true. */
  autoSubscribe?: boolean;
  /** Tries after the first when the server is not reached. Default 1. */
  maxRetries?: number;
  /** ms that each try, and the tokenProvider, may take. Default 15 000. */
  websocketTimeout?: number;
  /** Counts only when the token names no room: usher's. */
  room?: string;
  /** Counts only without a token: usher's. */
  project?: string;
  /** Counts only without a token: usher's. */
  name?: string;
}

export interface DataPublishOptions {
  /** Default false, as in LiveKit: may be lost when somebody is slow or away for a moment. */
  reliable?: boolean;
  topic?: string;
  destinationIdentities?: string[];
  /** usher's */
  destinationSids?: string[];
}

// ---------------------------------------------------------------- permissions

export interface ParticipantPermission {
  readonly canSubscribe: boolean;
  readonly canPublish: boolean;
  readonly canPublishData: boolean;
  /** By name ("camera"); empty with canPublish means all. LiveKit's are numbers. */
  readonly canPublishSources: readonly string[];
  readonly canUpdateMetadata: boolean;
  readonly canUpdateOwnMetadata: boolean;
  /** usher's */
  readonly canUpdatePresence: boolean;
  readonly hidden: boolean;
  /** Not told by every server. */
  readonly canSubscribeMetrics?: boolean;
  /** Not told by every server. */
  readonly canManageAgentSession?: boolean;
  readonly recorder?: boolean;
  /** Only owners may touch this participant: usher's. */
  readonly owner?: boolean;
  /** What this participant may moderate: usher's. */
  readonly admin: readonly ("participants" | "streaming" | "transcription")[];
}

export interface PermissionChange {
  canSubscribe?: boolean;
  canPublish?: boolean;
  canPublishData?: boolean;
  canPublishSources?: readonly string[];
  canUpdateMetadata?: boolean;
  hidden?: boolean;
  canSubscribeMetrics?: boolean;
  canManageAgentSession?: boolean;
}

/** A kind of media, in Daily's words. */
export type DailyMedia = "video" | "audio" | "screenVideo" | "screenAudio" | "customVideo" | "customAudio";

/** What may be received: all of it, nothing, or by kind; custom tracks by name, with "*" for all. */
export type DailyReceive = boolean | {
  video?: boolean;
  audio?: boolean;
  screenVideo?: boolean;
  screenAudio?: boolean;
  customVideo?: { [name: string]: boolean };
  customAudio?: { [name: string]: boolean };
};

/** Permissions in Daily's words: what is given changes. */
export interface DailyPermissions {
  hasPresence?: boolean;
  canSend?: boolean | readonly DailyMedia[];
  canReceive?: {
    base?: DailyReceive;
    byUserId?: { [userId: string]: DailyReceive };
    byParticipantId?: { [sid: string]: DailyReceive };
  };
  canAdmin?: boolean | readonly ("participants" | "streaming" | "transcription")[];
}

/** Somebody who waits to be let in. */
export interface WaitingParticipant {
  readonly sid: string;
  readonly identity: string;
  readonly name: string;
  readonly joinedAt: Date;
}

/** How a page should begin, as far as room or token say so. */
export interface Start {
  readonly videoOff?: boolean;
  readonly audioOff?: boolean;
  readonly screenShare?: boolean;
}

/** A participant as the server lists it: docs/protocol.md. */
export interface ParticipantInfo {
  sid: string;
  identity: string;
  name: string;
  kind: string;
  state: string;
  metadata: string;
  attributes: Record<string, string>;
  permissions: Omit<ParticipantPermission, "canUpdateMetadata">;
  tracks: TrackInfo[];
  presence?: Presence;
  joinedAt: number;
  willEjectAt?: number;
  version: number;
}

export interface TrackInfo {
  sid: string;
  handle: number;
  kind: string;
  source: string;
  name: string;
  muted: boolean;
  codec?: Json;
}

// ---------------------------------------------------------------- tracks

export declare namespace Track {
  enum Kind {
    Audio = "audio",
    Video = "video",
    Unknown = "unknown",
  }
  enum Source {
    Camera = "camera",
    Microphone = "microphone",
    ScreenShare = "screen_share",
    ScreenShareAudio = "screen_share_audio",
    Unknown = "unknown",
  }
  type SID = string;
  interface Dimensions {
    width: number;
    height: number;
  }
}

export type AttachTarget = HTMLMediaElement | HTMLCanvasElement;

type TrackEvents = {
  muted: [track: Track];
  unmuted: [track: Track];
  ended: [track: Track];
  restarted: [track: Track];
  elementAttached: [element: AttachTarget];
  elementDetached: [element: AttachTarget];
  error: [error: Error];
};

export declare abstract class Track extends TypedEmitter<TrackEvents> {
  readonly kind: Track.Kind;
  source: Track.Source;
  sid?: Track.SID;
  readonly isMuted: boolean;
  readonly isLocal: boolean;
  readonly attachedElements: AttachTarget[];
  readonly mediaStreamTrack?: MediaStreamTrack;
  readonly mediaStream?: MediaStream;
  attach(): HTMLMediaElement;
  attach<E extends AttachTarget>(element: E): E;
  detach(): AttachTarget[];
  detach<E extends AttachTarget>(element: E): E;
}

export declare class LocalTrack extends Track {
  constructor(mediaStreamTrack: MediaStreamTrack, source?: Track.Source);
  readonly mediaStreamTrack: MediaStreamTrack;
  readonly mediaStream: MediaStream;
  readonly id: string;
  readonly isUserProvided: boolean;
  readonly isStopped: boolean;
  readonly dimensions?: Track.Dimensions;
  mute(): Promise<this>;
  unmute(): Promise<this>;
  replaceTrack(track: MediaStreamTrack): Promise<this>;
  stop(): void;
}

export declare class LocalVideoTrack extends LocalTrack {}
export declare class LocalAudioTrack extends LocalTrack {}

export declare class RemoteTrack extends Track {
  /** usher's */
  stats(): object | undefined;
}

export declare class RemoteVideoTrack extends RemoteTrack {}
export declare class RemoteAudioTrack extends RemoteTrack {
  setVolume(volume: number): void;
  getVolume(): number;
}

export interface CreateLocalTracksOptions {
  audio?: boolean | AudioCaptureOptions;
  video?: boolean | VideoCaptureOptions;
}

export declare function createLocalTracks(options?: CreateLocalTracksOptions): Promise<LocalTrack[]>;
export declare function createLocalVideoTrack(options?: VideoCaptureOptions): Promise<LocalVideoTrack>;
export declare function createLocalAudioTrack(options?: AudioCaptureOptions): Promise<LocalAudioTrack>;
export declare function createLocalScreenTracks(options?: ScreenShareCaptureOptions): Promise<LocalTrack[]>;

export declare namespace TrackPublication {
  enum SubscriptionStatus {
    Desired = "desired",
    Subscribed = "subscribed",
    Unsubscribed = "unsubscribed",
  }
  enum PermissionStatus {
    Allowed = "allowed",
    NotAllowed = "not_allowed",
  }
}

type PublicationEvents = {
  muted: [];
  unmuted: [];
  ended: [track: Track];
  subscribed: [track: RemoteTrack];
  unsubscribed: [track: RemoteTrack];
  subscriptionStatusChanged: [status: TrackPublication.SubscriptionStatus, before: TrackPublication.SubscriptionStatus];
  subscriptionPermissionChanged: [status: TrackPublication.PermissionStatus];
  subscriptionFailed: [error: Error];
};

export declare abstract class TrackPublication extends TypedEmitter<PublicationEvents> {
  readonly kind: Track.Kind;
  readonly trackSid: Track.SID;
  readonly trackName: string;
  readonly source: Track.Source;
  readonly track?: Track;
  readonly mimeType?: string;
  readonly dimensions?: Track.Dimensions;
  readonly isMuted: boolean;
  readonly isEnabled: boolean;
  readonly isSubscribed: boolean;
  readonly isLocal: boolean;
  readonly isEncrypted: boolean;
  readonly videoTrack?: Track;
  readonly audioTrack?: Track;
}

export declare class LocalTrackPublication extends TrackPublication {
  readonly track: LocalTrack;
  readonly options: TrackPublishOptions;
  readonly videoTrack?: LocalVideoTrack;
  readonly audioTrack?: LocalAudioTrack;
  readonly isUpstreamPaused: boolean;
  mute(): Promise<LocalTrack>;
  unmute(): Promise<LocalTrack>;
  /** usher's */
  stats(): object;
}

export declare class RemoteTrackPublication extends TrackPublication {
  readonly track?: RemoteTrack;
  readonly videoTrack?: RemoteVideoTrack;
  readonly audioTrack?: RemoteAudioTrack;
  readonly isDesired: boolean;
  readonly subscriptionStatus: TrackPublication.SubscriptionStatus;
  readonly permissionStatus: TrackPublication.PermissionStatus;
  setSubscribed(subscribed: boolean): void;
}

// ---------------------------------------------------------------- participants

type ParticipantEvents = {
  active: [];
  trackPublished: [publication: RemoteTrackPublication];
  trackUnpublished: [publication: RemoteTrackPublication];
  trackSubscribed: [track: RemoteTrack, publication: RemoteTrackPublication];
  trackUnsubscribed: [track: RemoteTrack, publication: RemoteTrackPublication];
  trackSubscriptionFailed: [trackSid: string, reason?: Error];
  trackSubscriptionStatusChanged: [publication: RemoteTrackPublication, status: TrackPublication.SubscriptionStatus];
  trackSubscriptionPermissionChanged: [publication: RemoteTrackPublication, status: TrackPublication.PermissionStatus];
  trackMuted: [publication: TrackPublication];
  trackUnmuted: [publication: TrackPublication];
  localTrackPublished: [publication: LocalTrackPublication];
  localTrackUnpublished: [publication: LocalTrackPublication];
  participantMetadataChanged: [before: string | undefined];
  participantNameChanged: [name: string];
  attributesChanged: [changed: Record<string, string>];
  participantPermissionsChanged: [before: ParticipantPermission | undefined];
  dataReceived: [payload: Uint8Array, kind: DataPacket_Kind];
  mediaDevicesError: [error: Error, kind?: MediaDeviceKind, source?: Track.Source];
  isSpeakingChanged: [speaking: boolean];
  presenceChanged: [presence: Presence];
  stateChanged: [state: ParticipantState];
  stayLimitChanged: [willEjectAt: Date | undefined];
};

export type ParticipantState = "joining" | "active" | "reconnecting" | "gone";

export declare abstract class Participant extends TypedEmitter<ParticipantEvents> {
  readonly sid: string;
  readonly identity: string;
  readonly name?: string;
  readonly metadata?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly permissions?: ParticipantPermission;
  readonly kind: ParticipantKind;
  readonly joinedAt?: Date;
  /** When this participant is put out, if it is: usher's. */
  readonly willEjectAt?: Date;
  /** usher's */
  readonly isOwner: boolean;
  readonly isLocal: boolean;
  readonly isActive: boolean;
  readonly isAgent: boolean;
  readonly isSpeaking: boolean;
  /** 0 to 1; of somebody else, while it is played here. */
  readonly audioLevel: number;
  readonly lastSpokeAt?: Date;
  readonly isEncrypted: boolean;
  readonly isCameraEnabled: boolean;
  readonly isMicrophoneEnabled: boolean;
  readonly isScreenShareEnabled: boolean;
  readonly trackPublications: ReadonlyMap<string, TrackPublication>;
  readonly audioTrackPublications: ReadonlyMap<string, TrackPublication>;
  readonly videoTrackPublications: ReadonlyMap<string, TrackPublication>;
  /** usher's */
  readonly presence: Presence;
  /** usher's */
  readonly state: ParticipantState;
  /** usher's */
  readonly version: number;
  getTrackPublications(): TrackPublication[];
  getTrackPublication(source: Track.Source): TrackPublication | undefined;
  getTrackPublicationByName(name: string): TrackPublication | undefined;
  /** usher's, for admins: what is not named stays. It resolves when the change is in force. */
  setPermissions(changes: PermissionChange): Promise<void>;
  /** usher's, for admins: disconnects the person and revokes the tokens used so far. */
  remove(): Promise<void>;
}

export declare class RemoteParticipant extends Participant {
  readonly trackPublications: ReadonlyMap<string, RemoteTrackPublication>;
  readonly audioTrackPublications: ReadonlyMap<string, RemoteTrackPublication>;
  readonly videoTrackPublications: ReadonlyMap<string, RemoteTrackPublication>;
  getTrackPublications(): RemoteTrackPublication[];
  getTrackPublication(source: Track.Source): RemoteTrackPublication | undefined;
  getTrackPublicationByName(name: string): RemoteTrackPublication | undefined;
  getTrackPublicationBySid(sid: string): RemoteTrackPublication | undefined;
  setVolume(volume: number, source?: Track.Source): void;
  getVolume(source?: Track.Source): number | undefined;
  /** usher's, for admins. Only the owner can unmute. */
  mute(source: Track.Source): Promise<void>;
}

export declare class LocalParticipant extends Participant {
  readonly trackPublications: ReadonlyMap<string, LocalTrackPublication>;
  readonly audioTrackPublications: ReadonlyMap<string, LocalTrackPublication>;
  readonly videoTrackPublications: ReadonlyMap<string, LocalTrackPublication>;
  readonly lastCameraError?: Error;
  readonly lastMicrophoneError?: Error;
  getTrackPublications(): LocalTrackPublication[];
  getTrackPublication(source: Track.Source): LocalTrackPublication | undefined;
  getTrackPublicationByName(name: string): LocalTrackPublication | undefined;
  setMetadata(metadata: string): Promise<void>;
  setName(name: string): Promise<void>;
  setAttributes(attributes: Record<string, string>): Promise<void>;
  /** usher's: changes the keys given, or all with {full: true}. */
  setPresence(presence: { [key: string]: Json }, options?: { full?: boolean }): Promise<void>;
  /** Bytes as in LiveKit; any JSON value besides is usher's. */
  publishData(data: Uint8Array | ArrayBuffer | Json, options?: DataPublishOptions): Promise<void>;
  registerRpcMethod(method: string, handler: (data: RpcInvocationData) => Promise<string> | string): void;
  unregisterRpcMethod(method: string): void;
  /** Not there yet: rejects with UnsupportedError. */
  performRpc(params: unknown): Promise<never>;
  setCameraEnabled(enabled: boolean, options?: VideoCaptureOptions, publishOptions?: TrackPublishOptions): Promise<LocalTrackPublication | undefined>;
  setMicrophoneEnabled(enabled: boolean, options?: AudioCaptureOptions, publishOptions?: TrackPublishOptions): Promise<LocalTrackPublication | undefined>;
  setScreenShareEnabled(enabled: boolean, options?: ScreenShareCaptureOptions, publishOptions?: TrackPublishOptions): Promise<LocalTrackPublication | undefined>;
  enableCameraAndMicrophone(): Promise<void>;
  createTracks(options?: CreateLocalTracksOptions): Promise<LocalTrack[]>;
  createScreenTracks(options?: ScreenShareCaptureOptions): Promise<LocalTrack[]>;
  publishTrack(track: LocalTrack | MediaStreamTrack, options?: TrackPublishOptions): Promise<LocalTrackPublication>;
  unpublishTrack(track: LocalTrack | MediaStreamTrack, stopOnUnpublish?: boolean): Promise<LocalTrackPublication | undefined>;
  unpublishTracks(tracks: (LocalTrack | MediaStreamTrack)[]): Promise<LocalTrackPublication[]>;
}

// ---------------------------------------------------------------- the room

type SomeParticipant = RemoteParticipant | LocalParticipant;

export interface DisconnectDetail {
  code: number;
  reason: string;
  message: string;
}

export type RoomEventCallbacks = {
  connected: [];
  reconnecting: [];
  signalReconnecting: [];
  /** recovered: what happened meanwhile is told after it, nothing was lost. Otherwise what differs is told, and messages may be missing. */
  reconnected: [how: { recovered: boolean }];
  /** detail is usher's: the close code, and what it means in words. */
  disconnected: [reason: DisconnectReason, detail: DisconnectDetail];
  connectionStateChanged: [state: ConnectionState];
  signalConnected: [];
  moved: [name: string];
  participantConnected: [participant: RemoteParticipant];
  participantDisconnected: [participant: RemoteParticipant, reason?: DisconnectReason];
  participantActive: [participant: SomeParticipant];
  participantMetadataChanged: [before: string | undefined, participant: SomeParticipant];
  participantNameChanged: [name: string, participant: SomeParticipant];
  participantAttributesChanged: [changed: Record<string, string>, participant: SomeParticipant];
  participantPermissionsChanged: [before: ParticipantPermission | undefined, participant: SomeParticipant];
  trackPublished: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  trackUnpublished: [publication: RemoteTrackPublication, participant: RemoteParticipant];
  trackSubscribed: [track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant];
  trackUnsubscribed: [track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant];
  trackSubscriptionFailed: [trackSid: string, reason: Error, participant: RemoteParticipant];
  trackSubscriptionStatusChanged: [publication: RemoteTrackPublication, status: TrackPublication.SubscriptionStatus, participant: RemoteParticipant];
  trackSubscriptionPermissionChanged: [publication: RemoteTrackPublication, status: TrackPublication.PermissionStatus, participant: RemoteParticipant];
  trackMuted: [publication: TrackPublication, participant: SomeParticipant];
  trackUnmuted: [publication: TrackPublication, participant: SomeParticipant];
  localTrackPublished: [publication: LocalTrackPublication, participant: LocalParticipant];
  localTrackUnpublished: [publication: LocalTrackPublication, participant: LocalParticipant];
  roomMetadataChanged: [metadata: string];
  /** json is usher's: the value, when it was sent as one. */
  dataReceived: [payload: Uint8Array, participant?: RemoteParticipant, kind?: DataPacket_Kind, topic?: string,
    encryption?: undefined, participantIdentity?: string, json?: Json];
  /** kind is LiveKit's, source and participant are usher's. */
  mediaDevicesError: [error: Error, kind: MediaDeviceKind | undefined, source: Track.Source, participant: LocalParticipant];
  activeDeviceChanged: [kind: MediaDeviceKind, deviceId: string];
  activeSpeakersChanged: [speakers: SomeParticipant[]];
  audioPlaybackChanged: [playing: boolean];
  tokenRefreshed: [token: string, expiresAt: Date];
  tokenProviderFailed: [error: TokenProviderError];
  presenceChanged: [presence: Presence, participant: SomeParticipant];
  participantStateChanged: [state: ParticipantState, participant: SomeParticipant];
  participantCountChanged: [numParticipants: number];
  waiting: [];
  waitingParticipantJoined: [who: WaitingParticipant];
  waitingParticipantLeft: [who: WaitingParticipant, admitted: boolean];
  sessionDataChanged: [data: { readonly [key: string]: Json }];
  stayLimitChanged: [willEjectAt: Date | undefined, participant: SomeParticipant];
};

export declare class Room extends TypedEmitter<RoomEventCallbacks> {
  constructor(options?: RoomOptions);
  readonly options: RoomOptions;
  readonly state: ConnectionState;
  readonly name: string;
  readonly metadata: string;
  readonly numParticipants: number;
  readonly localParticipant: LocalParticipant;
  /** By identity; further participants of one person are under their sids. */
  readonly remoteParticipants: ReadonlyMap<string, RemoteParticipant>;
  /** The loudest first, of those who are heard here. */
  readonly activeSpeakers: SomeParticipant[];
  readonly canPlaybackAudio: boolean;
  /** usher's; as in LiveKit there is getSid, too */
  readonly sid: string;
  /** usher's */
  readonly maxParticipants: number;
  /** usher's */
  readonly createdAt: Date;
  /** The newest token, refreshed by the server: usher's. */
  readonly token: string | undefined;
  /** usher's */
  readonly tokenExpiresAt: Date | undefined;
  getSid(): Promise<string>;
  prepareConnection(url: string, token?: string): Promise<void>;
  connect(url: string, token?: string, options?: RoomConnectOptions): Promise<void>;
  disconnect(stopTracks?: boolean): Promise<void>;
  getParticipantByIdentity(identity: string): SomeParticipant | undefined;
  /** usher's */
  getParticipantBySid(sid: string): SomeParticipant | undefined;
  /** usher's */
  getParticipantsByIdentity(identity: string): SomeParticipant[];
  /** usher's, for rooms of so many that not all are listed. */
  listParticipants(page?: { after?: string; limit?: number }): Promise<{ participants: ParticipantInfo[]; next?: string; numParticipants: number }>;
  registerRpcMethod(method: string, handler: (data: RpcInvocationData) => Promise<string> | string): void;
  unregisterRpcMethod(method: string): void;
  startAudio(): Promise<void>;
  /** usher's, for admins; permission replaces all: what is not given is false. */
  updateParticipant(
    target: { identity: string } | { sid: string },
    changes: { name?: string; metadata?: string; attributes?: Record<string, string>; permission?: PermissionChange },
  ): Promise<ParticipantInfo>;
  /** Who waits to be let in, by sid, for those who may do that: usher's. */
  readonly waitingParticipants: ReadonlyMap<string, WaitingParticipant>;
  /** usher's, for admins: lets in who waits with that sid, or without an argument all. */
  admit(): Promise<void>;
  admit(sid: string): Promise<void>;
  /** usher's, for admins: sends away who waits with that sid, or without an argument all. */
  deny(): Promise<void>;
  deny(sid: string): Promise<void>;
  /** What the people in the room share while its meeting goes on: usher's. */
  readonly sessionData: { readonly [key: string]: Json };
  /** usher's: replaces all, or with merge the keys given, after deleting others. */
  updateSessionData(data: { [key: string]: Json }, options?: { merge?: boolean; keysToDelete?: string[] }): Promise<void>;
  /** usher's */
  readonly start: Start;
  /** The token did not hold, and one is in as without: usher's. */
  readonly tokenIgnored: boolean;
  /** usher's, for admins: by sid, and under "*" for everybody else who is no owner. */
  updatePermissions(data: { [sid: string]: DailyPermissions }): Promise<void>;
  /** usher's, for admins: disconnects; the tokens stay good. With ban they do not, and the identity stays out. */
  ejectParticipant(target: { identity: string } | { sid: string }, options?: { ban?: boolean }): Promise<void>;
  /** usher's, for admins */
  removeParticipant(target: { identity: string } | { sid: string }): Promise<void>;
  /** Camera and microphone only. It resolves with whether it is that device now. */
  switchActiveDevice(kind: MediaDeviceKind, deviceId: string, exact?: boolean): Promise<boolean>;
  getActiveDevice(kind: MediaDeviceKind): string | undefined;
  static getLocalDevices(kind?: MediaDeviceKind, requestPermissions?: boolean): Promise<MediaDeviceInfo[]>;
}

export interface Capabilities {
  video: { send: string[]; receive: string[] };
  audio: { send: string[]; receive: string[] };
  /** In words, when something essential is missing. */
  reason?: string;
}

/** What this browser can send and play. */
export declare function capabilities(): Promise<Capabilities>;

/** The claims of a token, unverified, or null. */
export declare function decodeToken(token: string): Record<string, unknown> | null;
