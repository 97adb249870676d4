// The session: joining, requests with replies, events in order, and coming back
// after a cut with nothing lost or done twice. It knows the frame of the
// protocol and nothing of rooms.

import { LostError, TokenProviderError, UnexpectedConnectionState, lostError, replyError } from "./errors.js";
import { backOff, closeCode, closeMessage, comesBack, connectionError, holds, noToken, refusedByBrowser, wakeTime } from "./policy.js";
import { Pulse } from "./pulse.js";

const ackFrames = 32;
const farewellTime = 2000;
const usualPing = 15_000; // while nothing else is said

// A token of this size leaves room for cookies below the 16 KiB of headers.
const longestHeaderToken = 4096;
const headerToken = /^[A-Za-z0-9._~+-]+$/;

const uncounted = new Set(["joined", "waiting", "pong", "presence", "sessionData", "reconnect"]);
const counts = (m) => !uncounted.has(m.type) && !(m.type === "data" && m.reliable === false);
const loopback = /^wss?:\/\/(localhost|127\.|\[::1\])/;

/**
 * Connection speaks usher.v1. Its owner is called back: joined(message, how),
 * waiting() and unanswered(first) before that, hear(event), frame(buffer), lost(resumable), tokenFailed(error), leaving() when
 * the page goes away, ended({code, reason, gaveUp}). Any of these may end it.
 */
export class Connection {
  #url;
  #tokens;
  #join; // what a join says beside the token
  #room = null; // {sid, name}; null before the first join
  #owner;
  #env;
  #options;

  #socket = null;
  #token = ""; // that the socket in use came with
  #try = 0; // grows with each attempt; what belongs to an earlier one is over
  #timer = null; // until the next attempt
  #limit = null; // of an attempt
  #pulse;
  #unwatch = null;
  #attempts = 0; // since a connection that held
  #joinedAt = 0;
  #firstTries = 0; // that connect has left
  #hintUntil = 0; // when the server wants to be asked again
  #hurried = -Infinity; // when a wait was last cut short
  #cutAt = 0;
  #lost = ""; // what the owner was told: "", "resumable" or "gone"
  #first = null; // {resolve, reject} of connect
  #ended = false;

  #session = null; // {id, secret, graceMs, pingMs}
  #received = 0; // counted frames since the last full snapshot
  #acked = 0;
  #resumes = 0;
  #seq = 0;
  #id = 0;
  #waiting = new Map(); // request id → {message, sent, resolve, reject}

  constructor({ url, tokens, join, owner, env, reconnectPolicy, timeout = 15_000, maxRetries = 1 }) {
    this.#url = url;
    this.#tokens = tokens;
    this.#join = join;
    this.#owner = owner;
    this.#env = env;
    this.#options = { reconnectPolicy, timeout, maxRetries };
    this.#pulse = new Pulse(env, {
      ping: () => this.#send({ type: "ping" }),
      ack: () => this.#received > this.#acked && this.#ack(),
      dead: () => this.#drop(closeCode.pingTimeout, "ping_timeout"),
    });
  }

  /** connect begins the session. It rejects when there is none to be had. */
  connect() {
    if (this.#ended) return Promise.reject(connectionError(closeCode.left));
    this.#firstTries = this.#options.maxRetries;
    this.#unwatch = this.#env.watch((what) => this.#watched(what));
    return new Promise((resolve, reject) => {
      this.#first = { resolve, reject };
      this.#open();
    });
  }

  get joined() {
    return this.#socket?.joined === true;
  }

  get waiting() {
    return this.#socket?.waiting === true && !this.joined;
  }

  get backlog() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /**
   * request sends a message and resolves with its reply, or rejects with what
   * the server said. While the session may be resumed it waits.
   */
  request(message) {
    if (this.#ended || !(this.#room || this.waiting)) return Promise.reject(new UnexpectedConnectionState(`"${message.type}" needs a room that is connected.`));
    if (this.#lost === "gone" && !this.waiting) {
      return Promise.reject(new LostError(`"${message.type}" was not sent: the room is being joined again. Wait for Reconnected.`, "not_done", { request: message.type }));
    }
    return new Promise((resolve, reject) => {
      const waiting = { message: { ...message, id: ++this.#id }, sent: false, resolve, reject };
      this.#waiting.set(this.#id, waiting);
      this.#put(waiting);
    });
  }

  /** sendFrame sends a binary message, or drops it when there is no connection. */
  sendFrame(bytes) {
    if (this.joined) this.#socket.send(bytes);
  }

  /** named has a join that comes without a token say another name. */
  named(name) {
    this.#join = { ...this.#join, name };
  }

  /** leave ends the session for good. It resolves when the server has heard of it, or had its time. */
  leave() {
    if (this.#ended) return Promise.resolve();
    const socket = this.#socket;
    const known = this.joined || this.waiting;
    this.#end({ code: closeCode.left, reason: "left" });
    if (!socket) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#env.setTimeout(() => {
        socket.close(closeCode.left);
        resolve();
      }, farewellTime);
      socket.onclose = () => {
        this.#env.clearTimeout(timer);
        resolve();
      };
      if (known) socket.send('{"type":"leave"}');
      else socket.close(closeCode.left);
    });
  }

  async #open() {
    if (this.#ended) return;
    this.#timer = null;
    const attempt = ++this.#try;
    const resuming = this.#session !== null;
    let token = "";
    if (!resuming) {
      try {
        token = await this.#inTime(this.#tokens.pick());
      } catch (cause) {
        if (attempt === this.#try && !this.#ended) this.#withoutToken(cause);
        return;
      }
      if (attempt !== this.#try || this.#ended) return;
      if (token === undefined) {
        this.#end({ code: closeCode.tokenExpired, reason: noToken });
        return;
      }
    }
    const inHeader = token !== "" && token.length <= longestHeaderToken && headerToken.test(token);
    let socket;
    try {
      socket = this.#env.socket(this.#url, inHeader ? ["usher.v1", `bearer.${token}`] : ["usher.v1"]);
    } catch (cause) {
      this.#end({ code: closeCode.cut, reason: refusedByBrowser, cause }); // it would be the same next time
      return;
    }
    socket.binaryType = "arraybuffer";
    socket.joined = socket.waiting = false;
    this.#socket = socket;
    this.#token = token;
    this.#limit = this.#env.setTimeout(() => this.#drop(4008, "timeout"), this.#options.timeout);
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      const s = this.#session;
      this.#send(s
        ? { type: "resume", session: s.id, secret: s.secret, received: this.#received, attempt: ++this.#resumes }
        : { type: "join", ...this.#join, token: inHeader ? undefined : token || undefined });
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#pulse.heard();
      if (typeof data === "string") this.#receive(data);
      else this.#understand(() => this.#owner.frame(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#cut(code, reason, resuming);
    };
  }

  // inTime is what a token's provider gives, which may take as long as an attempt.
  async #inTime(token) {
    const { timeout } = this.#options;
    let limit;
    const late = new Promise((_, reject) => {
      const tooLate = () => reject(new TokenProviderError(`tokenProvider did not answer within ${timeout / 1000} s.`));
      limit = this.#limit = this.#env.setTimeout(tooLate, timeout);
    });
    try {
      return await Promise.race([token, late]);
    } catch (cause) {
      throw cause instanceof TokenProviderError ? cause : new TokenProviderError(`tokenProvider has failed: ${cause?.message ?? cause}`, { cause });
    } finally {
      this.#env.clearTimeout(limit);
    }
  }

  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #put(waiting) {
    if (!this.joined && !this.waiting) return;
    waiting.sent = true;
    this.#send(waiting.message);
  }

  #ack() {
    this.#acked = this.#received;
    this.#send({ type: "ack", received: this.#received });
  }

  // receive takes a text frame. It counts when it has been taken: what the server
  // is told of, it does not send again. One that cannot be read counts as well,
  // since it would not be understood the next time either.
  #receive(text) {
    const socket = this.#socket;
    let m;
    const taken = this.#understand(() => this.#take((m = JSON.parse(text))));
    if (this.#socket !== socket) return; // it was the last one of this connection
    if (!taken && (m?.type === "joined" || m?.type === "moved")) {
      // Without it nothing that follows means anything.
      this.#end({ code: closeCode.protocolError, reason: "protocol_error" });
      socket.close(closeCode.left);
      return;
    }
    if ((!m || counts(m)) && m?.type !== "moved" && ++this.#received - this.#acked >= ackFrames) this.#ack();
  }

  // understand does what a message says, and reports whether that was possible.
  #understand(what) {
    try {
      what();
      return true;
    } catch (error) {
      console.error("usher: a message of the server's was not understood, and is passed over:", error);
      return false;
    }
  }

  #take(m) {
    switch (m.type) {
      case "joined":
        this.#joined(m);
        return;
      case "waiting":
        this.#env.clearTimeout(this.#limit);
        this.#socket.waiting = true;
        this.#pulse.start(usualPing);
        this.#owner.waiting();
        return;
      case "moved":
        // Before anybody hears of it: what is sent before the acknowledgement is
        // taken to be meant for the room before.
        this.#received++;
        this.#ack();
        this.#session = { ...this.#session, id: m.session, secret: m.secret };
        this.#seq = m.seq;
        this.#nowIn(m.room);
        this.#tokens.moved();
        if (m.token) this.#tokens.refresh(m.token, m.expiresAt);
        break;
      case "refreshToken":
        this.#tokens.refresh(m.token, m.expiresAt);
        break;
      case "reconnect":
        this.#hintUntil = this.#env.now() + (m.afterMs || 0);
        return;
      case "pong":
        this.#tokens.skew = m.time - this.#env.now();
        if (m.id) this.#reply(m);
        return;
      case "ok":
      case "error":
        if (m.id) {
          this.#reply(m);
          return;
        }
        break;
      case "participants":
        for (const change of m.changes) this.#event(change);
        this.#event({ type: "counted", seq: m.seq, numParticipants: m.numParticipants });
        return;
    }
    this.#event(m);
  }

  #reply(m) {
    const waiting = this.#waiting.get(m.id);
    if (!this.#waiting.delete(m.id)) return;
    if (m.type === "error") waiting.reject(this.#owner.refused?.(waiting.message, m) ?? replyError(waiting.message.type, m));
    else waiting.resolve(m);
  }

  // event passes an event on, unless the snapshot had it already.
  #event(m) {
    if (this.#ended) return;
    if (m.seq !== undefined && m.type !== "moved") {
      if (m.seq < this.#seq || (m.seq === this.#seq && m.type !== "counted")) return;
      this.#seq = m.seq;
    }
    this.#owner.hear(m);
  }

  #joined(m) {
    const before = this.#session;
    const same = before?.id === m.session;
    const admitted = this.waiting; // on this connection, where what was asked is still answered
    this.#env.clearTimeout(this.#limit);
    this.#socket.joined = true;
    this.#joinedAt = this.#env.now();
    this.#hintUntil = 0;
    this.#session = { id: m.session, secret: m.secret, graceMs: m.resume.graceMs, pingMs: m.pingIntervalMs };
    this.#lost = "";
    this.#tokens.joined();
    if (same && m.room.sid !== this.#room.sid) this.#tokens.moved(); // and nobody could tell
    this.#nowIn(m.room);
    if (!m.recovered) {
      this.#received = this.#acked = 0;
      this.#seq = m.seq; // after a recovery what was missed follows, with lower numbers
    }
    this.#pulse.start(this.#session.pingMs);
    const first = this.#first;
    this.#first = null;
    this.#send({ type: "ping" }); // for the server's clock

    // What the server has not handled is sent again, and nothing else.
    for (const [id, waiting] of admitted ? [] : [...this.#waiting]) {
      if (same && m.recovered) {
        if (id > m.lastRequest) this.#put(waiting);
        continue; // else its reply is on its way
      }
      const notDone = same ? id > m.lastRequest : !waiting.sent;
      this.#waiting.delete(id);
      waiting.reject(lostError(waiting.message.type, notDone));
    }
    this.#owner.joined(m, { first: first !== null, same, recovered: m.recovered });
    first?.resolve(m);
  }

  // nowIn: a join that has to say so comes back to this room.
  #nowIn({ sid, name }) {
    if (this.#room && this.#room.name !== name) this.#join = { ...this.#join, room: name };
    this.#room = { sid, name };
  }

  #watched(what) {
    const now = this.#env.now();
    if (what === "leaving") {
      this.#owner.leaving();
    } else if (this.joined || this.waiting) {
      this.#pulse.doubt();
    } else if (what !== "offline" && this.#timer !== null && now >= this.#hintUntil && Math.abs(now - this.#hurried) >= wakeTime) {
      // One attempt: a wake is told of by several events, and a page that is
      // looked at again and again must not be a load for a server that is down.
      this.#hurried = now;
      this.#env.clearTimeout(this.#timer);
      this.#open();
    }
  }

  // drop gives a connection up without waiting for its end, which takes minutes
  // on a dead network. A code of these says that we mean to resume.
  #drop(code, reason) {
    const socket = this.#socket;
    const resuming = this.#session !== null;
    this.#socket = null;
    socket.close(code, reason);
    this.#cut(code, reason, resuming, socket);
  }

  #cut(code, reason, resuming, { joined, waiting } = this.#socket) {
    const { now } = this.#env;
    this.#pulse.stop();
    this.#env.clearTimeout(this.#limit);
    this.#socket = null;
    if (this.#ended) return;
    if (joined) {
      this.#cutAt = now();
      // Who is let in and cut off again and again is not to come ever so often.
      if (now() - this.#joinedAt >= holds) this.#attempts = 0;
    }

    if (!joined && code === closeCode.tokenExpired && this.#tokens.expired(this.#token)) {
      this.#open();
      return;
    }
    if (!comesBack(code)) {
      this.#end({ code, reason });
      return;
    }
    if (waiting && !joined) {
      // There is nothing to resume: this page knocks again.
      this.#firstTries = this.#options.maxRetries;
      this.#reject();
      this.#owner.unanswered(this.#first !== null);
      if (this.#ended) return;
    }
    if (this.#first) {
      if (this.#firstTries-- > 0) this.#wait(code);
      else this.#end({ code, reason, gaveUp: true });
      return;
    }
    if (resuming && !joined && code === closeCode.sessionNotFound) {
      this.#gone();
      this.#open();
      return;
    }
    if (this.#session && now() - this.#cutAt <= this.#session.graceMs) this.#tell("resumable");
    else this.#forgo();
    this.#wait(code);
  }

  // gone: the session cannot be resumed.
  #gone() {
    this.#session = null;
    this.#forgo();
  }

  // forgo tells that nothing of the session can be expected any more.
  #forgo() {
    this.#tell("gone");
    this.#reject();
  }

  // reject is the end of all requests: nobody answers them any more.
  #reject() {
    for (const w of this.#waiting.values()) w.reject(lostError(w.message.type, !w.sent));
    this.#waiting.clear();
  }

  #tell(lost) {
    if (this.#lost === lost || this.#ended) return;
    this.#lost = lost;
    this.#owner.lost(lost === "resumable");
  }

  #wait(code) {
    if (this.#ended) return; // by who was told
    const { now } = this.#env;
    const retryCount = this.#attempts++;
    let delay = backOff(retryCount, this.#env.random);
    const policy = this.#options.reconnectPolicy;
    if (policy && !this.#first) {
      const usual = delay;
      try {
        delay = policy.nextRetryDelayInMs({ retryCount, elapsedMs: now() - this.#cutAt, retryReason: closeMessage(code), serverUrl: this.#url });
      } catch (error) {
        console.error("usher: reconnectPolicy has failed:", error);
      }
      if (delay === null || delay === undefined) {
        this.#end({ code, reason: "", gaveUp: true });
        return;
      }
      if (!(delay >= 0)) delay = usual;
    }
    delay = Math.max(delay, this.#hintUntil - now());
    // "online" ends the wait. What says that there is no network is not always right.
    if (this.#env.offline() && !loopback.test(this.#url)) delay = Math.max(delay, 15_000);
    this.#timer = this.#env.setTimeout(() => this.#open(), delay);
  }

  #withoutToken(cause) {
    if (this.#first) {
      this.#end({ code: closeCode.tokenExpired, reason: noToken, cause });
      return;
    }
    this.#tell("gone");
    if (!this.#ended) this.#owner.tokenFailed(cause);
    this.#wait(closeCode.cut);
  }

  #end(how) {
    this.#ended = true;
    this.#try++;
    this.#pulse.stop();
    this.#env.clearTimeout(this.#limit);
    this.#env.clearTimeout(this.#timer);
    this.#unwatch?.();
    this.#session = this.#socket = null;
    this.#reject();
    const first = this.#first;
    this.#first = null;
    this.#owner.ended(how, first !== null);
    first?.reject(connectionError(how.code, how.reason, this.#env.origin, how.cause));
  }
}
