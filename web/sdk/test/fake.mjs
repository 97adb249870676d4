// A world without a clock or a network: time passes when a test says so, and
// the test is the server.

import { Room } from "../usher.js";

export class World {
  time = 1_764_000_000_000;
  sockets = [];
  isOffline = false;
  #timers = new Map();
  #next = 1;
  #watchers = new Set();

  environment = {
    now: () => this.time,
    random: () => 1, // the longest back-off
    setTimeout: (f, ms) => this.#add(f, ms, 0),
    clearTimeout: (id) => this.#timers.delete(id),
    setInterval: (f, ms) => this.#add(f, ms, ms),
    clearInterval: (id) => this.#timers.delete(id),
    socket: (url, protocols) => new Socket(this, url, protocols),
    origin: "https://page.example",
    offline: () => this.isOffline,
    watch: (tell) => {
      this.#watchers.add(tell);
      return () => this.#watchers.delete(tell);
    },
  };

  #add(f, ms, every) {
    this.#timers.set(this.#next, { f, at: this.time + Math.max(0, ms), every });
    return this.#next++;
  }

  get timers() {
    return this.#timers.size;
  }

  get socket() {
    return this.sockets.at(-1);
  }

  tell(what) {
    for (const tell of this.#watchers) tell(what);
  }

  /** pass lets so much time pass, with what is due in it. */
  async pass(ms) {
    const end = this.time + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      const [id, timer] = due;
      this.time = Math.max(this.time, timer.at);
      if (timer.every) timer.at += timer.every;
      else this.#timers.delete(id);
      timer.f();
    }
    this.time = end;
    await settled();
  }

  /** sleep is time that passes without any timer: those due run once, late. */
  async sleep(ms) {
    this.time += ms;
    for (const timer of this.#timers.values()) if (timer.every) timer.at = Math.max(timer.at, this.time);
    await this.pass(0);
  }
}

/** settled lets everything happen that promises make happen. */
export const settled = () => new Promise((done) => setImmediate(done));

class Socket {
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  frames = [];
  closedWith = null;

  constructor(world, url, protocols) {
    this.url = url;
    this.protocols = protocols;
    world.sockets.push(this);
  }

  send(data) {
    if (typeof data === "string") this.sent.push(JSON.parse(data));
    else this.frames.push(data);
  }

  close(code, reason) {
    this.closedWith ??= { code, reason };
    this.readyState = 2;
  }

  // --- the server's side

  open() {
    this.readyState = 1;
    this.onopen();
    return this.sent.at(-1);
  }

  say(...messages) {
    for (const m of messages) this.onmessage({ data: m instanceof Uint8Array ? m.buffer : JSON.stringify(m) });
  }

  /** end closes the connection from the server's side, or by a cut. */
  end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  of(type) {
    return this.sent.filter((m) => m.type === type);
  }

  last(type) {
    return this.of(type).at(-1);
  }
}

export const permissions = {
  canPublish: true, canPublishSources: [], canPublishData: true, canSubscribe: true,
  canUpdateOwnMetadata: false, canUpdatePresence: true, hidden: false, admin: [],
};

export function person(identity, more = {}) {
  return {
    sid: `PA_${identity}`, identity, name: "", kind: "standard", state: "active", metadata: "", attributes: {},
    permissions, tracks: [], joinedAt: 1_764_000_000_000, version: 1, ...more,
  };
}

export function joined(more = {}) {
  const { participants = [], self = person("ada"), ...rest } = more;
  return {
    type: "joined", session: self.sid, secret: "s1", recovered: false, seq: 10, epoch: "e", lastRequest: 0,
    room: { sid: "RM_1", name: "lobby", metadata: "", numParticipants: participants.length + 1, maxParticipants: 0, createdAt: 0 },
    self, participants, resume: { graceMs: 30_000 }, pingIntervalMs: 15_000, ...rest,
  };
}

/** token makes a JWT that nobody signed. */
export function token(expiresAt, more = {}) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ exp: Math.floor(expiresAt / 1000), ...more })}.x`;
}

/** enter makes a room that has joined, and a list of the names of its events. */
export async function enter(world, first = {}, options = {}, connectOptions = {}) {
  const room = new Room({ environment: world.environment, ...options });
  const events = [];
  const emit = room.emit.bind(room);
  room.emit = (event, ...args) => {
    events.push({ event, args });
    return emit(event, ...args);
  };
  const done = room.connect("https://usher.example", options.token ?? token(world.time + 3_600_000), connectOptions);
  await settled();
  world.socket.open();
  world.socket.say(joined(first));
  await done;
  return { room, events, names: () => events.splice(0).map((e) => e.event) };
}

// --- media

/** video is a camera's track. */
export const video = (sid, handle, more = {}) => ({ sid, handle, kind: "video", source: "camera", name: "", muted: false, codec: { codec: "vp8" }, ...more });

/** of is what came with the events of a name. */
export const of = (events, name) => events.filter((e) => e.event === name).map((e) => e.args);

/** stub is the media module of a page without cameras. */
export function stub() {
  const made = { senders: [], receivers: [], captured: [] };
  const receiver = (kind) => async (options) => {
    const r = {
      kind, options, frames: [], losses: [], stopped: false, muted: false, push: (f) => r.frames.push(f), lost: (layer) => r.losses.push(layer),
      attach() {}, detach() {}, setMuted: (m) => (r.muted = m), stop: () => (r.stopped = true), stats: () => ({}),
    };
    made.receivers.push(r);
    return r;
  };
  const sender = (kind) => async (options) => {
    const s = {
      kind, options, track: options.track, keys: 0, paused: false, stopped: false, codec: { codec: kind === "video" ? "vp8" : "opus" },
      requestKeyFrame: () => s.keys++, setPaused: (p) => (s.paused = p), replaceTrack: (t) => (s.track = t), stop: () => (s.stopped = true), stats: () => ({}),
    };
    made.senders.push(s);
    return s;
  };
  return {
    made,
    capture: async (wish) => {
      const track = new MediaStreamTrack(wish.microphone ? "audio" : "video");
      made.captured.push(track);
      return [track];
    },
    createVideoSender: sender("video"), createAudioSender: sender("audio"),
    createVideoReceiver: receiver("video"), createAudioReceiver: receiver("audio"),
  };
}

globalThis.MediaStreamTrack = class {
  readyState = "live";
  enabled = true;
  constructor(kind) {
    this.kind = kind;
  }
  stop() {
    this.readyState = "ended";
  }
};

/** camera is a room whose camera is published, as TR_1. */
export async function camera(world, media) {
  const entered = await enter(world, {}, { media });
  const on = entered.room.localParticipant.setCameraEnabled(true);
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_1", 7) });
  await on;
  return entered;
}

/** rejoin loses the session, and joins as another participant. */
export async function rejoin(world, more = {}) {
  world.socket.end();
  await world.pass(600);
  world.socket.open();
  world.socket.end(4010);
  await settled();
  world.socket.open();
  world.socket.say(joined({ self: person("ada", { sid: "PA_2" }), ...more }));
  await settled();
}
