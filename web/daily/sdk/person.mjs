// Somebody in a room, with usher's own protocol over a plain WebSocket.

import { createHmac } from "node:crypto";
import { WebSocket } from "ws";
import { until } from "./scene.mjs";

/** The close codes of docs/protocol.md that these scenarios meet. */
export const code = {
  invalidToken: 4500, tokenExpired: 4501, tokenNotYetValid: 4502, tokenRevoked: 4503, notAllowed: 4504, roomNotFound: 4505, roomFull: 4506,
  duplicateIdentity: 4507, removed: 4508, roomDeleted: 4509, accessLost: 4515, timeLimit: 4517, ejected: 4518, notAdmitted: 4519,
  roomNotOpen: 4521, roomExpired: 4522, keyRevoked: 4530,
};

/** A Person is a connection, and what came over it. It joins with {token, room, name, project}. */
export class Person {
  came = []; // messages
  bytes = ""; // all of it, as it came
  closed; // {code, reason}
  #id = 0;

  constructor(scene, join) {
    this.who = join.name ?? join.room;
    this.ws = new WebSocket(`${scene.url.replace(/^http/, "ws")}/session`, "usher.v1");
    this.ws.on("error", (e) => (this.failed = e));
    this.ws.on("close", (code, reason) => (this.closed = { code, reason: String(reason) }));
    this.ws.on("open", () => this.send({ type: "join", ...join }));
    this.ws.on("message", (data, binary) => {
      this.bytes += String(data);
      if (binary) return;
      const m = JSON.parse(String(data));
      this.came.push(m);
      if (m.type === "joined") this.me = m.self;
    });
  }

  send(message) {
    this.ws.send(JSON.stringify(message));
  }

  /** gets waits for a message that is like that. */
  gets(what, like) {
    return until(`${this.me?.identity ?? this.who}: ${what}`, () => {
      const m = this.came.find(like);
      if (!m && this.closed) throw new Error(`closed with ${JSON.stringify(this.closed)} before ${what} came`);
      return m;
    });
  }

  joined() {
    return this.gets("joined", (m) => m.type === "joined");
  }

  waits() {
    return this.gets("waiting", (m) => m.type === "waiting");
  }

  news(type, like = () => true) {
    return this.gets(type, (m) => m.type === type && like(m));
  }

  /** mayNow waits until what they may do is like that. */
  async mayNow(like) {
    const own = (m) => m.type === "participantUpdated" && m.participant.sid === this.me.sid && like(m.participant.permissions);
    return (await this.gets("a change of permission", own)).participant.permissions;
  }

  /** refreshed is the newest token of the session, once there is one. */
  async refreshed() {
    await this.news("refreshToken");
    return this.came.findLast((m) => m.type === "refreshToken").token;
  }

  end() {
    return until(`${this.me?.identity ?? this.who}: the end`, () => this.closed);
  }

  /** request resolves to the reply. */
  request(message) {
    const id = ++this.#id;
    this.send({ ...message, id });
    return this.gets(`the reply to ${message.type}`, (m) => m.id === id && (m.type === "ok" || m.type === "error"));
  }

  /** of are the messages of one type that have come so far. */
  of(type) {
    return this.came.filter((m) => m.type === type);
  }

  account() {
    return `${this.me?.identity ?? this.who}: ${JSON.stringify({ closed: this.closed, failed: this.failed?.message })} ${JSON.stringify(this.came.slice(-8)).slice(0, 2500)}`;
  }
}

/** liveKitToken signs a token of the server's project for development. */
export function liveKitToken(claims) {
  const now = Math.floor(Date.now() / 1000);
  const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "devkey", iat: now, nbf: now, exp: now + 600, ...claims })}`;
  return `${text}.${createHmac("sha256", "secret").update(text).digest("base64url")}`;
}
