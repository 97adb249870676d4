// What a room is beside its people and tracks: what they share while they meet, how it
// would like a page to begin, and who waits to be let in, as those see it who may let
// them in.

import { RoomEvent } from "./events.js";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const shown = ({ sid, identity, name, joinedAt }) => Object.freeze({ sid, identity, name, joinedAt: new Date(joinedAt) });

export class Meeting {
  waiting = new Map(); // sid → who waits, the first to come first
  sessionData = Object.freeze({});
  start = Object.freeze({});
  tokenIgnored = false;

  #tell; // (event, ...args)

  constructor(tell) {
    this.#tell = tell;
  }

  /** snapshot takes a whole one over; what differs is told. */
  snapshot({ waiting = [], sessionData = {}, start, tokenIgnored }) {
    const there = new Set(waiting.map((p) => p.sid));
    for (const sid of [...this.waiting.keys()]) if (!there.has(sid)) this.on_waitingParticipantLeft({ sid });
    for (const participant of waiting) {
      if (this.waiting.get(participant.sid)?.name !== participant.name) this.on_waitingParticipantJoined({ participant });
    }
    this.on_sessionData({ data: sessionData });
    this.start = Object.freeze({ ...start });
    this.tokenIgnored = tokenIgnored === true;
  }

  /** end forgets the room. Nothing of that is told: that it has ended is. */
  end() {
    this.waiting.clear();
    this.sessionData = this.start = Object.freeze({});
    this.tokenIgnored = false;
  }

  on_sessionData({ data = {} }) {
    if (same(data, this.sessionData)) return;
    this.sessionData = Object.freeze(data);
    this.#tell(RoomEvent.SessionDataChanged, this.sessionData);
  }

  // Somebody has come, or has another name now.
  on_waitingParticipantJoined({ participant }) {
    const person = shown(participant);
    this.waiting.set(person.sid, person);
    this.#tell(RoomEvent.WaitingParticipantJoined, person);
  }

  on_waitingParticipantLeft({ sid, admitted = false }) {
    const person = this.waiting.get(sid);
    if (this.waiting.delete(sid)) this.#tell(RoomEvent.WaitingParticipantLeft, person, admitted);
  }
}
