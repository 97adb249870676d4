// What can go wrong: a class for each kind, with a message that says what to do.

/** UsherError is what all errors of the SDK are. code says which, for programs. */
export class UsherError extends Error {
  constructor(message, code, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = new.target.name;
    this.code = code;
  }
}

/** ConnectionErrorReason is LiveKit's. */
export const ConnectionErrorReason = Object.freeze({
  NotAllowed: 0,
  ServerUnreachable: 1,
  InternalError: 2,
  Cancelled: 3,
  LeaveRequest: 4,
  Timeout: 5,
  WebSocket: 6,
  ServiceNotFound: 7,
  NotAdmitted: 100, // usher's: nobody let this participant in
});

/**
 * ConnectionError says why there is no connection. code is the close code, 1006
 * when the server was not reached; closeReason is the server's word for it.
 */
export class ConnectionError extends UsherError {
  constructor(message, reason, more = {}) {
    super(message, more.code ?? 1006, more);
    this.reason = reason;
    this.reasonName = Object.keys(ConnectionErrorReason).find((name) => ConnectionErrorReason[name] === reason);
    this.closeReason = more.closeReason ?? "";
    this.status = more.status;
    this.context = more.context;
  }
}

/** TokenProviderError is a tokenProvider that gave no token, or not in time. */
export class TokenProviderError extends UsherError {
  constructor(message, more = {}) {
    super(message, "token_provider", more);
  }
}

/** RequestError is a request that the server refused, and what the others are kinds of. */
export class RequestError extends UsherError {
  constructor(message, code, more = {}) {
    super(message, code, more);
    this.request = more.request; // the type of message that was refused
  }
}

/**
 * PermissionError is a request that may not be. permission names what is
 * missing, layer who decided it: "token", or "live" for an administrator.
 */
export class PermissionError extends RequestError {
  constructor(message, more = {}) {
    super(message, "not_allowed", more);
    this.permission = more.permission;
    this.layer = more.layer;
  }
}

/** LimitError is something too large or too much; the message names the limit. */
export class LimitError extends RequestError {}

/** NotFoundError is a participant or track that is not there, as far as one may see. */
export class NotFoundError extends RequestError {}

/**
 * LostError is a request whose reply went down with a connection. outcome is
 * "not_done" or "unknown".
 */
export class LostError extends RequestError {
  constructor(message, outcome, more = {}) {
    super(message, "lost", more);
    this.outcome = outcome;
  }
}

/** UnexpectedConnectionState is something asked of a room that is not connected. */
export class UnexpectedConnectionState extends UsherError {
  constructor(message) {
    super(message, "unexpected_state");
  }
}

/** UnsupportedError is something this browser, or usher, cannot do. */
export class UnsupportedError extends UsherError {
  constructor(message, more = {}) {
    super(message, "unsupported", more);
  }
}

/** PublishTrackError is a track that could not be made or published. */
export class PublishTrackError extends UsherError {
  constructor(message, more = {}) {
    super(message, more.code ?? "publish_failed", more);
  }
}

/**
 * MediaDeviceFailure is LiveKit's short list of why there is no camera or
 * microphone, and getFailure finds an error in it.
 */
export const MediaDeviceFailure = Object.freeze({
  PermissionDenied: "PermissionDenied",
  NotFound: "NotFound",
  DeviceInUse: "DeviceInUse",
  Other: "Other",

  getFailure(error) {
    return error ? (failures.get(error.name === "MediaError" ? error.code : error.name) ?? "Other") : undefined;
  },
});

// By MediaError's code, and by the browser's name.
const failures = new Map([
  ["denied", "PermissionDenied"], ["NotAllowedError", "PermissionDenied"],
  ["device_not_found", "NotFound"], ["NotFoundError", "NotFound"],
  ["in_use", "DeviceInUse"], ["NotReadableError", "DeviceInUse"],
]);

/** RpcError is how a remote call fails: what a handler throws reaches the caller. */
export class RpcError extends UsherError {
  static MAX_MESSAGE_BYTES = 256;
  static MAX_DATA_BYTES = 15360;
  static ErrorCode = Object.freeze({
    APPLICATION_ERROR: 1500,
    CONNECTION_TIMEOUT: 1501,
    RESPONSE_TIMEOUT: 1502,
    RECIPIENT_DISCONNECTED: 1503,
    RESPONSE_PAYLOAD_TOO_LARGE: 1504,
    SEND_FAILED: 1505,
    UNSUPPORTED_METHOD: 1400,
    RECIPIENT_NOT_FOUND: 1401,
    REQUEST_PAYLOAD_TOO_LARGE: 1402,
    UNSUPPORTED_SERVER: 1403,
    UNSUPPORTED_VERSION: 1404,
  });

  constructor(code, message, data, options = {}) {
    super(message, code, options);
    this.data = data;
  }
}

// wants says what each request is for, in a sentence.
const wants = {
  __proto__: null,
  publishData: "Sending data",
  updatePresence: "Changing presence",
  updateMetadata: "Changing one's name, metadata or attributes",
  publishTrack: "Publishing this track",
  subscribe: "Receiving this track",
  updateParticipant: "Changing a participant",
  removeParticipant: "Removing a participant",
  ejectParticipant: "Putting a participant out",
  updatePermissions: "Changing what participants may do",
  admitParticipant: "Letting somebody in",
  denyParticipant: "Sending somebody away",
  updateSessionData: "Changing the session data",
  muteTrack: "Muting this track",
};

const deciders = {
  __proto__: null, // layers are the server's words
  token: "the token does not grant it: have your backend sign one that does",
  live: "an administrator took it away: ask for it, and do not try again before ParticipantPermissionsChanged",
};

/** permissionError words a refusal. */
export function permissionError(request, { permission, layer, message } = {}) {
  const what = wants[request] ?? `"${request}"`;
  const why = permission ? `${what} needs ${permission}` : `${what} is not allowed`;
  const who = layer ? `; ${deciders[layer] ?? `the layer "${layer}" denies it`}` : "";
  const outside = { __proto__: null, hidden: "for whoever is hidden", lobby: "for whoever waits to be let in", owner: "to an owner, but for owners" };
  const text = outside[permission] ? `${what} is not possible ${outside[permission]}` : why + who;
  return new PermissionError(`${text}.`, { permission, layer, request, context: message });
}

/** lostError is what becomes of a request when the connection is cut for good. */
export function lostError(request, notDone) {
  return notDone
    ? new LostError(`"${request}" was not done: the connection was cut, and the session is another one now. Send it again if it is still meant.`, "not_done", { request })
    : new LostError(`"${request}" was sent, but its reply went down with the connection. See what the room says before sending it again.`, "unknown", { request });
}

/** replyError makes an error of the server's reply. */
export function replyError(request, reply) {
  const said = reply.message ? `: ${reply.message}` : "";
  const more = { request };
  switch (reply.code) {
    case "not_allowed":
      return permissionError(request, reply);
    case "limit_exceeded":
      return new LimitError(`"${request}" is too large${said}. Send less.`, reply.code, more);
    case "rate_limited":
      return new LimitError(`"${request}" was refused: too many messages. Send fewer, and try this one again later.`, reply.code, more);
    case "not_found":
      return new NotFoundError(`"${request}" names somebody or something that is not here${said}.`, reply.code, more);
    case "moved":
      return new LostError(`"${request}" was meant for the room before, and not done. Send it again if it is meant for this one.`, "not_done", more);
    case "unavailable":
      return new RequestError(
        `"${request}": the server cannot write durable state at the moment. What it takes away is in force, what it gives is not. Try again later.`,
        reply.code, more);
  }
  return new RequestError(`The server refused "${request}"${said || ` (${reply.code})`}.`, reply.code, more);
}
