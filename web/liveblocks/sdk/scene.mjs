// What a scenario is played with: the SDKs, the people that they let in, and ways
// to wait for what must come.

import assert from "node:assert/strict";
import { Liveblocks } from "@liveblocks/node";
import { Person } from "./person.mjs";

/** All scenarios, by name. */
export const scenarios = new Map();

/** scenario adds one: what happens in it is the function's name for the test. */
export function scenario(name, play) {
  assert(!scenarios.has(name), `two scenarios are called ${name}`);
  scenarios.set(name, play);
}

export const secretKey = "sk_dev_secret";
export const publicKey = "pk_dev_public";

/** Of the project in which readers may not broadcast, on a "configured server". */
export const projectSecret = "sk_0123456789abcdef0123456789abcdef";

/** How long to wait before saying that nothing came. Nothing is measured by it. */
export const patience = 60_000;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** until resolves to what look returns as soon as that is something. */
export async function until(what, look) {
  const end = Date.now() + patience;
  for (;;) {
    const got = await look();
    if (got) return got;
    if (Date.now() > end) throw new Error(`it never came: ${what}`);
    await pause(5);
  }
}

/** A Scene is one scenario being played, with rooms of its own. */
export class Scene {
  #ask;
  #asked = new Map();
  #people = [];
  #ends = [];
  #id = 0;

  constructor(name, { url, size, seed }, ask) {
    this.name = name;
    this.size = size;
    this.#ask = ask;
    this.use(url);
    let state = seed >>> 0; // mulberry32
    this.random = (n) => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) % n;
    };
  }

  /** use makes another server the scene's. */
  use(url, secret = secretKey) {
    this.url = url;
    this.secret = secret;
    this.backend = new Liveblocks({ secret, baseUrl: url });
  }

  /** times is how often to do something in a soak, a usual and a short run. */
  times(soak, usual, short) {
    return { soak, usual, short }[this.size];
  }

  /** room is the id of a room that no other scenario has. */
  room(name = "room") {
    return `${this.name}/${name}`;
  }

  /** made is a room with these accesses. */
  async made(name, defaultAccesses = ["*:write"], more = {}) {
    const id = this.room(name);
    await this.backend.createRoom(id, { defaultAccesses, ...more });
    return id;
  }

  /** ask has the test in Go do something to the scene's own server. */
  ask(what) {
    const id = ++this.#id;
    return new Promise((done) => {
      this.#asked.set(id, done);
      this.#ask(id, what);
    });
  }

  /** again starts the scene's server again, and waits until no request meets a connection of before. */
  async again() {
    await this.ask("start");
    await Promise.all(Array.from({ length: 64 }, () => until("the server answers", () => this.backend.getRooms({ limit: 1 }).then(() => true, () => false))));
  }

  answered(id, answer) {
    this.#asked.get(id)?.(answer);
  }

  /** person is somebody who is in no room yet; see Person for the options. */
  person(options) {
    const p = new Person(this, options);
    this.#people.push(p);
    return p;
  }

  /** enter lets somebody into a room, and waits until they are in. */
  async enter(room, options) {
    const p = this.person(options);
    p.enter(room, options?.presence, options?.storage);
    await p.inside();
    return p;
  }

  /** refused has somebody try a room, and returns the error that tells them no. */
  async refused(room, options) {
    const p = this.person(options);
    p.enter(room);
    return p.putOut();
  }

  /** atEnd does something when the scenario is over. */
  atEnd(f) {
    this.#ends.push(f);
  }

  end() {
    for (const p of this.#people) p.end();
    for (const f of this.#ends) f();
  }

  /** accounts tell what became of everybody, for whoever looks for a mistake. */
  accounts() {
    return this.#people.map((p) => p.account());
  }

  /** call is a request to the REST API in the server's own words. */
  async call(method, path, body, key = this.secret) {
    const res = await fetch(this.url + path, {
      method,
      headers: { ...(key && { authorization: `Bearer ${key}` }), ...(body !== undefined && { "content-type": "application/json" }) },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await res.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {}
    return { status: res.status, text, json, headers: res.headers };
  }
}

/** thrown returns the error that a promise ends with, and fails if it ends with none. */
export async function thrown(promise) {
  let value;
  try {
    value = await promise;
  } catch (e) {
    return e;
  }
  assert.fail(`there was no error but ${JSON.stringify(value)}`);
}
