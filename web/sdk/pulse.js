// The pulse of a connection: whether anybody is at its other end, which a dead
// network does not say, and when the server is due to hear what has arrived.

const ackAfter = 5000;
const probeTime = 5000; // for an answer after sleep or a change of network

/** Pulse beats while a connection has a session. It calls ping() to be answered, ack() now and then, dead() when no answer came. */
export class Pulse {
  #env;
  #ping;
  #ack;
  #dead;
  #timer = null;
  #pingMs = 0;
  #every = 0;
  #heard = 0;
  #ticked = 0;
  #ackAt = 0;
  #probe = 0; // when an answer is due; 0: none is asked for
  #late = false; // it was asked for by a tick that came late

  constructor(env, { ping, ack, dead }) {
    this.#env = env;
    this.#ping = ping;
    this.#ack = ack;
    this.#dead = dead;
  }

  start(pingMs) {
    this.stop();
    const now = this.#env.now();
    this.#pingMs = pingMs;
    this.#every = Math.min(1000, pingMs / 4);
    this.#heard = this.#ticked = now;
    this.#ackAt = now + ackAfter;
    this.#probe = 0;
    this.#timer = this.#env.setInterval(() => this.#tick(), this.#every);
  }

  stop() {
    this.#env.clearInterval(this.#timer);
  }

  /** heard takes note of whatever comes. */
  heard() {
    this.#heard = this.#env.now();
    this.#probe = 0;
  }

  /** doubt asks at once: the network is another one, or a long time has passed. */
  doubt() {
    this.#ask(probeTime);
  }

  #tick() {
    const now = this.#env.now();
    const slept = Math.abs(now - this.#ticked) > 3 * this.#every + 2000;
    this.#ticked = now;
    if (slept) {
      // Timers stood still (sleep, a hidden tab), or the clock was set: what was
      // heard when says nothing. Ask; when it is late once more, and nothing has
      // come in between, nothing will.
      if (this.#probe && this.#late) {
        this.#dead();
        return;
      }
      this.#heard = now;
      this.#probe = 0;
      this.#ackAt = now;
      this.#ask(probeTime);
      this.#late = true;
    } else if (this.#probe && now >= this.#probe) {
      this.#dead();
      return;
    } else if (now - this.#heard >= this.#pingMs) {
      this.#ask(this.#pingMs);
    }
    if (now >= this.#ackAt) {
      this.#ackAt = now + ackAfter;
      this.#ack();
    }
  }

  // ask wants to hear something within that time.
  #ask(ms) {
    const due = this.#env.now() + ms;
    if (this.#probe && this.#probe <= due) return;
    if (!this.#probe) this.#ping();
    this.#probe = due;
    this.#late = false;
  }
}
