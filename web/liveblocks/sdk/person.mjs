// Somebody in a room, by means of the unmodified @liveblocks/client.

import assert from "node:assert/strict";
import { createClient } from "@liveblocks/client";
import { WebSocket } from "ws";
import { patience, publicKey, until } from "./scene.mjs";

/**
 * A Person has a client of their own, may be in one room with it, and remembers
 * what came of it. Options:
 *
 *   user, groups, info, organization   an ID token of these
 *   allow, user, info, organization    an access token: {pattern: [permission, …]}
 *   anonymous                          the public key
 *   token, next                        a token, or what returns the next one
 *   create                             the createClient of an older release
 *   presence, storage                  what to enter with
 */
export class Person {
  statuses = [];
  errors = []; // of the room: {code, message}
  events = []; // broadcast: {from, user, event}
  changes = []; // of others, by type
  frames = []; // as they came
  sent = []; // and as they went
  sockets = [];
  thrown = []; // by the client while it handled a message
  asked = 0; // for tokens
  #unsubscribe = [];
  #leave;

  constructor(scene, options = {}) {
    this.scene = scene;
    this.options = options;
    this.client = (options.create ?? createClient)({
      baseUrl: scene.url,
      throttle: 16,
      lostConnectionTimeout: 30_000,
      polyfills: { WebSocket: tapped(this), fetch: globalThis.fetch },
      ...(options.anonymous ? { publicApiKey: publicKey } : { authEndpoint: () => this.#token() }),
    });
  }

  /** token asks the application's backend, as a page does. */
  async #token() {
    this.asked++;
    const token = this.options.token ?? this.options.next?.();
    if (token) return { token };
    const { status, body } = await issue(this.scene.backend, this.options);
    return status === 200 ? JSON.parse(body) : { error: "forbidden", reason: `${status} ${body}` };
  }

  enter(roomId, presence = {}, storage = {}) {
    const { room, leave } = this.client.enterRoom(roomId, { initialPresence: presence, initialStorage: storage });
    this.room = room;
    this.#leave = leave;
    this.#unsubscribe = [
      room.subscribe("status", (s) => this.statuses.push(s)),
      room.subscribe("error", (e) => this.errors.push({ code: e.context?.code ?? e.code, message: e.message })),
      room.subscribe("event", ({ connectionId, user, event }) => this.events.push({ from: connectionId, user: user && { id: user.id, info: user.info }, event })),
      room.subscribe("others", (_, change) => this.changes.push(change.type)),
    ];
    return room;
  }

  leave() {
    this.#leave?.();
    this.#leave = undefined;
  }

  get me() {
    return this.room.getSelf();
  }

  get connectionId() {
    return this.me.connectionId;
  }

  /** inside waits until they are in the room. */
  async inside() {
    await until(`${this.options.user ?? "somebody"} is connected`, () => {
      if (this.room.getStatus() === "disconnected") throw new Error(`turned away: ${JSON.stringify(this.errors)}`);
      return this.room.getStatus() === "connected" && this.me;
    });
    return this;
  }

  /** putOut waits until they are out for good, and returns why. */
  async putOut() {
    await until(`${this.options.user ?? "somebody"} is disconnected`, () => this.room.getStatus() === "disconnected" && this.errors.length);
    return this.errors.at(-1);
  }

  /** sees waits until another connection of that user is visible, and returns it. */
  sees(user, like = () => true) {
    return until(`${this.options.user} sees ${user}`, () => this.other(user, like));
  }

  /** gone waits until no connection of that user is visible. */
  gone(user) {
    return until(`${user} is gone for ${this.options.user}`, () => !this.other(user));
  }

  other(user, like = () => true) {
    return this.room.getOthers().find((o) => o.id === user && like(o));
  }

  says(event) {
    this.room.broadcastEvent(event);
  }

  /** hears waits until an event came, and returns it with all before it. */
  async hears(event) {
    const is = (e) => JSON.stringify(e.event) === JSON.stringify(event);
    await until(`${this.options.user} hears ${JSON.stringify(event)}`, () => this.events.some(is));
    return this.events.slice(0, this.events.findIndex(is) + 1);
  }

  /** tells broadcasts an event, and waits until the server has read it. */
  async tells(event) {
    const before = this.sent.length;
    this.says(event);
    await until("the event is sent", () => this.sent.slice(before).some((text) => text.includes(`"event":${JSON.stringify(event)}`)));
    const pongs = () => this.frames.filter((f) => f === "pong").length;
    const had = pongs();
    this.sockets.at(-1).send("ping");
    await until("the answer to a ping", () => pongs() > had);
  }

  /** storage is what their client takes for the room's Storage. */
  async storage() {
    const { root } = await this.room.getStorage();
    return root.toJSON?.() ?? root.toImmutable(); // before 3.20
  }

  /** heard are the events so far, without who sent them. */
  get heard() {
    return this.events.map((e) => e.event);
  }

  /** stayed fails unless they were connected all the time, over one socket. */
  stayed() {
    assert.equal(this.sockets.length, 1, `${this.options.user} had ${this.sockets.length} sockets`);
    assert.deepEqual(this.statuses.slice(this.statuses.indexOf("connected")), ["connected"], `the statuses of ${this.options.user}`);
  }

  /** cut ends their connection without a word. */
  cut() {
    this.sockets.at(-1).terminate();
  }

  /** of are the messages of the server of one type, which have come so far. */
  of(type) {
    return this.frames.flatMap((f) => (f === "pong" ? [] : JSON.parse(f))).filter((m) => m.type === type);
  }

  account() {
    const { user } = this.options;
    return `${user ?? "anonymous"}: ${JSON.stringify({ status: this.room?.getStatus(), statuses: this.statuses, errors: this.errors, heard: this.heard.slice(-5), me: this.room && this.me, sockets: this.sockets.length, thrown: this.thrown.map(String) })}\n  last frames: ${this.frames.slice(-6).join("\n    ").slice(0, 3000)}`;
  }

  end() {
    for (const f of this.#unsubscribe) f();
    this.leave();
    for (const s of this.sockets) s.terminate();
  }
}

/** issue is what an application's auth endpoint does. */
export function issue(backend, { user, groups, info, organization, tenant, allow }) {
  if (!allow) {
    return backend.identifyUser({ userId: user, groupIds: groups, organizationId: organization, tenantId: tenant }, { userInfo: info });
  }
  const session = backend.prepareSession(user, { userInfo: info, organizationId: organization, tenantId: tenant });
  for (const [pattern, permissions] of Object.entries(allow)) session.allow(pattern, permissions);
  return session.authorize();
}

/** tokenOf is a token alone. */
export async function tokenOf(backend, options) {
  const { status, body } = await issue(backend, options);
  assert.equal(status, 200, body);
  return JSON.parse(body).token;
}

/**
 * tapped is the WebSocket of somebody's client, which remembers what came. What
 * the client throws while it handles a message would end the process, and is
 * remembered, too.
 */
function tapped(person) {
  return class extends WebSocket {
    #wrapped = new Map();

    constructor(url) {
      super(url, { handshakeTimeout: patience });
      person.sockets.push(this);
      this.on("message", (data) => person.frames.push(String(data)));
    }

    send(text) {
      person.sent.push(text);
      super.send(text);
    }

    addEventListener(type, listener, options) {
      const careful = (event) => {
        try {
          listener(event);
        } catch (e) {
          person.thrown.push(e);
        }
      };
      this.#wrapped.set(listener, careful);
      super.addEventListener(type, careful, options);
    }

    removeEventListener(type, listener) {
      super.removeEventListener(type, this.#wrapped.get(listener) ?? listener);
    }
  };
}
