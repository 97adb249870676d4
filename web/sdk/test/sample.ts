// A program for the declarations: what code written for livekit-client does, and
// what is usher's.

import {
  ConnectionError, ConnectionState, DataPacket_Kind, DisconnectReason, LimitError, LocalParticipant, LostError, MediaDeviceFailure, MediaError,
  NotFoundError, Participant, ParticipantEvent, PermissionError, PublishTrackError, RemoteParticipant, RemoteTrack, RemoteTrackPublication,
  RequestError, Room, RoomEvent, RpcError, TokenProviderError, Track, TrackEvent, UnexpectedConnectionState, UnsupportedError, UsherError,
  capabilities, createLocalTracks,
} from "usher-client";

const room = new Room({
  publishDefaults: { videoCodec: "vp9", videoEncoding: { maxBitrate: 600_000 } },
  tokenProvider: async () => (await fetch("/token")).text(),
  reconnectPolicy: { nextRetryDelayInMs: (context) => (context.retryCount > 10 ? null : 500) },
});

room
  .on(RoomEvent.TrackSubscribed, (track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant) => {
    if (track.kind === Track.Kind.Video || track.kind === Track.Kind.Audio) document.body.append(track.attach());
    const canvas: HTMLCanvasElement = track.attach(document.createElement("canvas"));
    console.log(publication.source === Track.Source.Camera, participant.identity, canvas.width);
  })
  .on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()))
  .on(RoomEvent.ParticipantPermissionsChanged, (before, participant) => console.log(before?.canPublish, participant.permissions?.canPublish))
  .on(RoomEvent.ParticipantAttributesChanged, (changed, participant) => console.log(changed["hand"], participant.attributes["hand"]))
  .on(RoomEvent.DataReceived, (payload, participant, kind, topic, _, identity, json) => {
    console.log(new TextDecoder().decode(payload), participant?.name, kind === DataPacket_Kind.RELIABLE, topic, identity, json);
  })
  .on(RoomEvent.ConnectionStateChanged, (state) => console.log(state === ConnectionState.SignalReconnecting))
  .on(RoomEvent.ActiveSpeakersChanged, (speakers: Participant[]) => console.log(speakers.map((p) => p.audioLevel), speakers[0] instanceof Participant))
  .on(RoomEvent.MediaDevicesError, (error, kind, source) => {
    if (error instanceof MediaError && error.code === "device_not_found") console.log(kind === "videoinput", source, error.source);
    console.log(MediaDeviceFailure.getFailure(error) === MediaDeviceFailure.PermissionDenied);
  })
  .on(RoomEvent.TokenProviderFailed, (error: TokenProviderError) => console.log(error.message, error.code === "token_provider", error.cause))
  .on(RoomEvent.ActiveDeviceChanged, (kind: MediaDeviceKind, deviceId) => console.log(kind === "videoinput", deviceId))
  .on(RoomEvent.Reconnected, ({ recovered }) => console.log(recovered === true))
  .on(RoomEvent.Moved, (name) => console.log(name))
  .on(RoomEvent.Waiting, () => console.log(room.state === ConnectionState.Waiting))
  .on(RoomEvent.WaitingParticipantJoined, (who) => room.admit(who.sid))
  .on(RoomEvent.WaitingParticipantLeft, ({ name, joinedAt }, admitted: boolean) => console.log(name, joinedAt.getTime(), admitted))
  .on(RoomEvent.SessionDataChanged, (data) => console.log(data["slide"]))
  .on(RoomEvent.StayLimitChanged, (at, participant) => console.log(at?.getTime(), participant.isOwner, participant.willEjectAt))
  .on(RoomEvent.TokenRefreshed, (token, expiresAt) => console.log(token.length, expiresAt.getTime()))
  .on(RoomEvent.PresenceChanged, (presence, participant) => console.log(presence["cursor"], participant.sid))
  .once(RoomEvent.Disconnected, (reason, detail) => console.log(reason === DisconnectReason.PARTICIPANT_REMOVED, DisconnectReason[reason], detail.message));

export async function host(url: string): Promise<void> {
  await room.connect(url, undefined, { room: "call", name: "Ada" });
  await Promise.all([...room.waitingParticipants.keys()].map((sid) => room.deny(sid)));
  await room.admit();
  await room.updatePermissions({ "*": { canSend: ["audio"], canReceive: { base: false, byUserId: { ada: { video: true } } } } });
  await room.updateSessionData({ slide: 1 }, { merge: true, keysToDelete: ["poll"] });
  await room.ejectParticipant({ identity: "joe" }, { ban: true });
  console.log(room.start.videoOff, room.tokenIgnored, room.sessionData["slide"]);
}

export async function main(url: string, token: string): Promise<void> {
  await room.prepareConnection(url);
  try {
    await room.connect(url, token, { autoSubscribe: true });
  } catch (error) {
    if (error instanceof ConnectionError) console.log(error.reasonName, error.closeReason, error.message);
    throw error;
  }
  const me: LocalParticipant = room.localParticipant;
  try {
    await me.setCameraEnabled(true);
    await me.setMicrophoneEnabled(true, { echoCancellation: true });
    await me.setScreenShareEnabled(true, { audio: true });
  } catch (error) {
    if (error instanceof PermissionError) console.log(error.permission, error.layer);
  }
  const [track] = await createLocalTracks({ audio: false, video: { resolution: { width: 320, height: 180 } } });
  const publication = await me.publishTrack(track!, { name: "second", source: Track.Source.Camera });
  publication.track.on(TrackEvent.Ended, () => console.log("ended"));
  await publication.mute();
  await me.unpublishTrack(track!);
  await me.publishData(new TextEncoder().encode("hi"), { reliable: true, topic: "chat", destinationIdentities: ["bob"] });
  await me.publishData({ reaction: "👏" });
  await me.setPresence({ cursor: { x: 1, y: 2 } });
  await me.setAttributes({ hand: "up" });
  me.registerRpcMethod("roll", async ({ payload }) => {
    if (payload === "") throw new RpcError(1, "how many sides?");
    return "4";
  });
  for (const [identity, participant] of room.remoteParticipants) {
    participant.on(ParticipantEvent.ParticipantNameChanged, (name) => console.log(name));
    participant.getTrackPublication(Track.Source.Camera)?.setSubscribed(false);
    if (me.permissions?.admin.includes("participants")) {
      await participant.setPermissions({ canPublish: true, canPublishSources: ["camera"] });
      await participant.mute(Track.Source.Microphone);
      await participant.remove().catch((error) => error instanceof LostError && console.log(error.outcome, identity));
    }
  }
  const [device] = await Room.getLocalDevices("audioinput");
  if (device && room.getActiveDevice("audioinput") !== device.deviceId) console.log(await room.switchActiveDevice("audioinput", device.deviceId));
  const { next } = await room.listParticipants({ limit: 100 });
  const { video, reason } = await capabilities();
  console.log(next, video.send, reason, room.token, room.tokenExpiresAt, await room.getSid(), room.numParticipants);
  await room.disconnect();
}

/** explain is what an application says of each kind of error. */
export function explain(error: unknown): string {
  if (error instanceof ConnectionError) return `${error.code.toFixed()} ${error.reasonName} ${error.closeReason}`;
  if (error instanceof PermissionError) return `${error.permission} ${error.layer} ${error.request} ${error.code === "not_allowed"}`;
  if (error instanceof LimitError || error instanceof NotFoundError) return `${error.code} ${error.request}`;
  if (error instanceof LostError) return error.outcome === "not_done" ? "again" : "perhaps";
  if (error instanceof MediaError) return `${error.code === "in_use"} ${error.source}`;
  if (error instanceof PublishTrackError || error instanceof UnsupportedError || error instanceof UnexpectedConnectionState) return error.message;
  if (error instanceof RequestError) return error.request ?? error.code.toString();
  return error instanceof UsherError ? String(error.code) : "not ours";
}

/** speaking is who speaks, and how loud. */
export const speaking = (): string[] => room.activeSpeakers.map((p: Participant) => `${p.identity} ${p.audioLevel.toFixed(2)} ${p.lastSpokeAt?.getTime()} ${p.isSpeaking}`);
room.localParticipant.on(ParticipantEvent.IsSpeakingChanged, (is: boolean) => console.log(is));
