// What a scenario is played with: Daily's API by fetch, people, and ways to wait for
// what must come.

import assert from "node:assert/strict";
import { Person } from "./person.mjs";

/** All scenarios, by name. */
export const scenarios = new Map();

/** scenario adds one: what happens in it is the function's name for the test. */
export function scenario(name, play) {
  assert(!scenarios.has(name), `two scenarios are called ${name}`);
  scenarios.set(name, play);
}

/** The domain of usher serve --dev. */
export const apiKey = "daily_dev_secret";
export const domainId = "00000000-0000-4000-8000-000000000001";

/** How long to wait before saying that nothing came. Nothing is measured by it. */
export const patience = 60_000;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export const seconds = () => Math.floor(Date.now() / 1000);

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

  constructor(name, url, ask) {
    this.name = name;
    this.#ask = ask;
    this.use(url);
  }

  /** use makes another server the scene's: the base URL is all that changes. */
  use(url, key = apiKey, domain = domainId) {
    this.url = url;
    this.key = key;
    this.domain = domain;
  }

  /** room is a name that no other scenario has. */
  room(name = "room") {
    return `${this.name}-${name}`.replace(/[^A-Za-z0-9]+/g, "-");
  }

  /** call is a request to the REST API, as Daily's guides make it. */
  async call(method, path, body, headers) {
    const res = await fetch(`${this.url}/v1${path}`, {
      method,
      headers: headers ?? { "Content-Type": "application/json", Authorization: `Bearer ${this.key}` },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await res.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {}
    return { status: res.status, text, json, headers: res.headers };
  }

  /** api is call for what must work, which is always answered with 200. */
  async api(method, path, body) {
    const { status, text, json } = await this.call(method, path, body);
    assert.equal(status, 200, `${method} ${path}: ${status} ${text}`);
    return json;
  }

  /** refused is call for what must not work: an error and, when it is named, the text. */
  async refused(status, error, info, method, path, body) {
    const got = await this.call(method, path, body);
    const want = { error, ...(typeof info === "string" && { info }) };
    const have = info instanceof RegExp || info === undefined ? { error: got.json?.error } : got.json;
    assert.deepEqual([got.status, have], [status, want], `${method} ${path}: ${got.text}`);
    if (info instanceof RegExp) assert.match(got.json.info, info);
    return got.json;
  }

  /** made is a room with these settings, private unless they say otherwise. */
  async made(name, properties = {}, privacy = "private") {
    const room = await this.api("POST", "/rooms", { name: this.room(name), privacy, properties });
    return room.name;
  }

  /** token asks for one. */
  async token(properties) {
    return (await this.api("POST", "/meeting-tokens", { properties })).token;
  }

  /** ask has the test in Go do something to the scene's own server. */
  ask(what) {
    const id = ++this.#id;
    return new Promise((done) => {
      this.#asked.set(id, done);
      this.#ask(id, what);
    });
  }

  answered(id, answer) {
    this.#asked.get(id)?.(answer);
  }

  /** own gives the scene a server of its own, and again starts that again. */
  async own(kind = "server") {
    this.use(await this.ask(kind));
  }

  async again() {
    await this.own("start");
  }

  /** person connects somebody; see Person for what to join with. */
  person(join) {
    const p = new Person(this, join);
    this.#people.push(p);
    return p;
  }

  /** enter lets somebody in, and waits until they are in. */
  async enter(join) {
    const p = this.person(typeof join === "string" ? { token: join } : join);
    await p.joined();
    return p;
  }

  /** turnedAway has somebody try, and returns the close code that tells them no. */
  async turnedAway(join) {
    const p = this.person(typeof join === "string" ? { token: join } : join);
    return (await p.end()).code;
  }

  /** atEnd does something when the scenario is over. */
  atEnd(f) {
    this.#ends.push(f);
  }

  async end() {
    for (const p of this.#people) p.ws.terminate();
    for (const f of this.#ends) await f();
  }

  /** accounts tell what became of everybody, for whoever looks for a mistake. */
  accounts() {
    return this.#people.map((p) => p.account());
  }
}
