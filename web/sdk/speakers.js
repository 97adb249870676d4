// Who speaks: from how loud the tracks are that are sent from here, and those that
// are played here. The server has no part in it.

const loud = 0.02; // level from which somebody speaks; a quiet room is far below
const pause = 500; // ms between words
const stale = 500; // ms after which a track that nothing is heard of is silent

/** Speakers keeps isSpeaking and audioLevel of participants. */
export class Speakers {
  #env;
  #changed;
  #levels = new Map(); // publication → {participant, level, at}
  #spoke = new Map(); // participant → when it was loud last
  #timer = null;
  active = []; // the loudest first, when it last changed

  /** changed is called with whoever began or ceased to speak. */
  constructor(env, changed) {
    this.#env = env;
    this.#changed = changed;
  }

  /** heard is told of a track's level, several times a second. */
  heard(participant, publication, level) {
    this.#levels.set(publication, { participant, level, at: this.#env.now() });
    this.#look(participant);
    this.#watch();
  }

  /** forget is told when a track is sent or received no more. */
  forget(publication) {
    const known = this.#levels.get(publication);
    if (!known) return;
    this.#levels.delete(publication);
    if (!this.#of(known.participant).length) this.#spoke.delete(known.participant);
    this.#look(known.participant);
    this.#watch();
  }

  #of(participant) {
    return [...this.#levels.values()].filter((l) => l.participant === participant);
  }

  #look(participant) {
    const now = this.#env.now();
    const level = Math.max(0, ...this.#of(participant).map((l) => l.level));
    participant.audioLevel = level;
    if (level >= loud) {
      this.#spoke.set(participant, now);
      participant.lastSpokeAt = new Date(now);
    } else if (now - this.#spoke.get(participant) >= pause) {
      this.#spoke.delete(participant);
    }
    const speaking = this.#spoke.has(participant);
    if (participant.isSpeaking === speaking) return;
    participant.isSpeaking = speaking;
    this.active = [...this.#spoke.keys()].sort((a, b) => b.audioLevel - a.audioLevel);
    this.#changed(participant);
  }

  // watch looks again while somebody may fall silent without a word: tracks whose
  // frames stay away tell nothing.
  #watch() {
    const wanted = this.#levels.size > 0;
    if (wanted === (this.#timer !== null)) return;
    if (wanted) {
      this.#timer = this.#env.setInterval(() => this.#tick(), stale / 2);
    } else {
      this.#env.clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  #tick() {
    const now = this.#env.now();
    for (const l of this.#levels.values()) if (now - l.at >= stale) l.level = 0;
    for (const participant of new Set([...this.#levels.values()].map((l) => l.participant))) this.#look(participant);
  }
}
