// The client's half of the native protocol, usher.v1: joining, requests with
// replies, events in order, and coming back after a cut with nothing lost or
// doubled. It knows nothing of the page.

const ackFrames = 32;
const ackAfter = 5000;

// The frames that are not counted for a resume.
const uncounted = new Set(["joined", "pong", "presence", "reconnect"]);
const counts = (m) => !uncounted.has(m.type) && !(m.type === "data" && m.reliable === false);

const comesBack = (code) => code === 1001 || code === 1006 || code === 1011 || (code >= 4000 && code < 4500);

// The answer to a resume that means that the session is gone, and a join may do.
const sessionNotFound = 4010;

export class Session {
  #url;
  #room;
  #tokens; // newest last
  #hear; // called with each event, and with {type: "connection", state, …}

  #socket = null;
  #timer = null; // until the next attempt
  #pulse = null; // acks and pings
  #attempts = 0;
  #hint = 0; // when to come back, as the server said; 0: it did not
  #ended = false;
  #leaving = false;

  #session = null; // {id, secret}
  #received = 0; // counted frames since the last full snapshot
  #resumes = 0; // sent; tells the server which of two is the later
  #acked = 0;
  #seq = 0;
  #id = 0;
  #waiting = new Map(); // request id → {message, settle}
  #heard = 0; // when something came last
  #pinged = 0; // when an unanswered ping was sent

  constructor({ url, token, room, hear }) {
    this.#url = url;
    this.#room = room;
    this.#tokens = [{ token, expiresAt: Infinity }];
    this.#hear = hear;
  }

  // connect begins the session, or begins another one after its end.
  connect() {
    this.#ended = this.#leaving = false;
    this.#session = null;
    this.#attempts = 0;
    this.#open();
  }

  // request sends a message and resolves with its reply. While the connection is
  // cut it waits, and is sent when the session goes on.
  request(message) {
    return new Promise((settle) => {
      const numbered = { ...message, id: ++this.#id };
      this.#waiting.set(numbered.id, { message: numbered, settle });
      if (this.#session && this.#socket?.joined) this.#send(numbered);
    });
  }

  // leave ends the session for good.
  leave() {
    if (this.#ended) return;
    this.#leaving = true;
    if (this.#socket?.joined) {
      this.#send({ type: "leave" });
      return;
    }
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.#end(1000, "left");
  }

  // hurry makes the next attempt now.
  hurry() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#open();
  }

  #open() {
    this.#timer = null;
    this.#tell("connecting");
    const socket = new WebSocket(this.#url, ["usher.v1"]);
    socket.binaryType = "arraybuffer";
    socket.joined = false;
    this.#socket = socket;
    const resuming = this.#session !== null;
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      this.#send(resuming
        ? { type: "resume", session: this.#session.id, secret: this.#session.secret, received: this.#received, attempt: ++this.#resumes }
        // Nothing here plays tracks, so none are asked for.
        : { type: "join", token: this.#token(), room: this.#room || undefined, autoSubscribe: false });
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket && typeof data === "string") this.#take(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.#socket) return;
      if (resuming && !socket.joined && code === sessionNotFound) this.#session = null;
      this.#cut(code, reason);
    };
  }

  // token is the newest that still holds; the one it came with, else.
  #token() {
    return (this.#tokens.findLast((t) => t.expiresAt > Date.now()) ?? this.#tokens[0]).token;
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #take(m) {
    this.#heard = Date.now();
    this.#pinged = 0;
    if (counts(m) && ++this.#received - this.#acked >= ackFrames) this.#ack();
    switch (m.type) {
      case "joined":
        this.#joined(m);
        return;
      case "pong":
        return;
      case "reconnect":
        this.#hint = Date.now() + m.afterMs;
        break;
      case "refreshToken":
        this.#tokens = [this.#tokens[0], m];
        break;
      case "ok":
      case "error": {
        const asked = this.#waiting.get(m.id);
        this.#waiting.delete(m.id);
        if (asked) {
          asked.settle(m);
          return;
        }
        break;
      }
      case "participants":
        for (const change of m.changes) this.#event(change);
        this.#event({ type: "counted", seq: m.seq, numParticipants: m.numParticipants });
        return;
    }
    this.#event(m);
  }

  // event passes an event on, unless the snapshot had it already.
  #event(m) {
    if (m.seq !== undefined) {
      if (m.seq < this.#seq || (m.seq === this.#seq && m.type !== "counted")) return;
      this.#seq = m.seq;
    }
    this.#hear(m);
  }

  #joined(m) {
    this.#socket.joined = true;
    this.#attempts = 0;
    this.#hint = 0;
    const same = this.#session?.id === m.session;
    this.#session = { id: m.session, secret: m.secret };
    if (!m.recovered) {
      this.#received = this.#acked = 0;
      this.#seq = m.seq; // on a recovery what was missed follows, with lower numbers
    }
    clearInterval(this.#pulse);
    let ackAt = Date.now() + ackAfter;
    let pingAt = Date.now() + m.pingIntervalMs;
    this.#pulse = setInterval(() => {
      const now = Date.now();
      if (this.#pinged && now - this.#pinged > m.pingIntervalMs) {
        // Nothing answers; the browser would find out in minutes.
        const socket = this.#socket;
        this.#socket = null;
        socket.close(4002);
        this.#cut(1006, "");
        return;
      }
      if (now >= ackAt) {
        ackAt = now + ackAfter;
        if (this.#received > this.#acked) this.#ack();
      }
      if (now >= pingAt && !this.#pinged) {
        pingAt = now + m.pingIntervalMs;
        this.#pinged = now;
        this.#send({ type: "ping" });
      }
    }, 1000);
    this.#tell("joined");
    this.#hear(m);

    // What the server has not handled is sent again, and nothing else. Replies
    // that went down with a session, or before a fresh snapshot, will not come.
    for (const [id, asked] of [...this.#waiting]) {
      if (same && id > m.lastRequest) {
        this.#send(asked.message);
      } else if (!same || !m.recovered) {
        this.#waiting.delete(id);
        asked.settle({ type: "error", code: "lost" });
      }
    }
  }

  #ack() {
    this.#acked = this.#received;
    this.#send({ type: "ack", received: this.#received });
  }

  #cut(code, reason) {
    clearInterval(this.#pulse);
    this.#pinged = 0;
    this.#socket = null;
    if (this.#ended) return;
    if (this.#leaving || !comesBack(code)) {
      this.#end(this.#leaving ? 1000 : code, reason);
      return;
    }
    const backOff = Math.min(10000, 300 * 2 ** this.#attempts++) * (0.5 + Math.random());
    const delay = Math.max(this.#hint - Date.now(), backOff);
    this.#hint = 0;
    this.#tell("waiting", { code, reason, delay, resumes: this.#session !== null });
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  #end(code, reason) {
    clearInterval(this.#pulse);
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#ended = true;
    this.#session = null;
    for (const asked of this.#waiting.values()) asked.settle({ type: "error", code: "lost" });
    this.#waiting.clear();
    this.#tell("ended", { code, reason });
  }

  #tell(state, more = {}) {
    this.#hear({ type: "connection", state, ...more });
  }
}
