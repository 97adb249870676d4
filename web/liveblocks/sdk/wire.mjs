// People without an SDK: a Liveblocks client that says whatever the test wants, and
// a participant of usher's native protocol with a LiveKit token.

import { createHmac } from "node:crypto";
import { WebSocket } from "ws";
import { until } from "./scene.mjs";

/** A Wire is a WebSocket, and what came over it. */
class Wire {
  came = []; // messages, or text that is no JSON
  closed; // {code, reason}

  constructor(scene, url, protocols) {
    this.ws = new WebSocket(url, protocols);
    this.ws.on("error", (e) => (this.failed = e));
    this.ws.on("close", (code, reason) => (this.closed = { code, reason: String(reason) }));
    scene.atEnd(() => this.ws.terminate());
  }

  async open() {
    await until("the socket is open", () => this.ws.readyState !== WebSocket.CONNECTING);
    if (this.failed) throw this.failed;
    return this;
  }

  async end() {
    return until("the socket is closed", () => this.closed);
  }

  /** came waits for a message that is like that. */
  gets(what, like) {
    return until(what, () => {
      const m = this.came.find(like);
      if (!m && this.closed) throw new Error(`closed with ${JSON.stringify(this.closed)} before ${what} came`);
      return m;
    });
  }
}

/** A Raw is a connection in Liveblocks' protocol, which nobody keeps from cheating. */
export class Raw extends Wire {
  constructor(scene, { room, token, publicKey, version = "3.24.2", path = "/v8" }) {
    const url = new URL(path, scene.url.replace(/^http/, "ws"));
    for (const [name, value] of Object.entries({ roomId: room, tok: token, pubkey: publicKey, version })) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    super(scene, url.toString());
    this.texts = [];
    this.ws.on("message", (data) => {
      const text = String(data);
      this.texts.push(text);
      if (text === "pong") return this.came.push("pong");
      this.came.push(...[JSON.parse(text)].flat());
    });
  }

  send(...messages) {
    this.ws.send(JSON.stringify(messages));
  }

  /** state waits for the first room state. */
  state() {
    return this.gets("the room state", (m) => m.type === 104);
  }

  /** type waits for a message of a type. */
  type(type) {
    return this.gets(`a message of type ${type}`, (m) => m.type === type);
  }

  /** round waits until the server has handled all that was sent before. */
  async round() {
    const before = this.came.filter((m) => m === "pong").length;
    this.ws.send("ping");
    await until("the answer to a ping", () => {
      if (this.closed) throw new Error(`closed with ${JSON.stringify(this.closed)}`);
      return this.came.filter((m) => m === "pong").length > before;
    });
  }
}

/** liveKitToken signs a token of the server's project for development. */
export function liveKitToken(claims) {
  const now = Math.floor(Date.now() / 1000);
  const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "devkey", iat: now, nbf: now, exp: now + 600, ...claims })}`;
  return `${text}.${createHmac("sha256", "secret").update(text).digest("base64url")}`;
}

/** A Native is a participant with usher's own protocol. */
export class Native extends Wire {
  #id = 0;

  constructor(scene, token, room, publicKey) {
    super(scene, `${scene.url.replace(/^http/, "ws")}/session`, "usher.v1");
    this.ws.on("message", (data, binary) => binary || this.came.push(JSON.parse(String(data))));
    this.ws.on("open", () => this.ws.send(JSON.stringify({ type: "join", token, room, publicKey })));
  }

  joined() {
    return this.gets("joined", (m) => m.type === "joined");
  }

  /** request resolves to the reply. */
  request(message) {
    const id = ++this.#id;
    this.ws.send(JSON.stringify({ ...message, id }));
    return this.gets(`the reply to ${message.type}`, (m) => m.id === id && (m.type === "ok" || m.type === "error"));
  }

  /** news waits for an event, which is in one message with others in big rooms. */
  news(type, like = () => true) {
    return this.gets(type, (m) => m.type === type && like(m));
  }
}
