/**
 * One topic as a pure machine: a snapshot, then every publication in order, each once. It says where something is missing;
 * who drives it asks again from `position`.
 */

import type { Position, Publication, Subscribed } from "./wire.ts";

/** What a kind of topic adds: how its state begins, and how a publication changes it. Both must not change their arguments. */
export interface Kind<State> {
  start(snapshot: unknown): State;
  apply(state: State, publication: Publication): State;
}

/** taken: applied · old: known already · kept: waits for an answer · gap: something before it is missing. */
export type Verdict = "taken" | "old" | "kept" | "gap";

// While an answer is awaited; of more, the newest stay: the gap makes us ask again.
const KEPT_AT_MOST = 1_000;

export class Follower<State> {
  readonly #kind: Kind<State>;
  #position: Position | null = null;
  #state: State | undefined;
  /** What came while an answer was awaited; null: live. */
  #kept: Publication[] | null = [];

  constructor(kind: Kind<State>) {
    this.#kind = kind;
  }

  /** How far the topic is known; null: not at all. */
  get position(): Position | null {
    return this.#position;
  }

  get state(): State | undefined {
    return this.#state;
  }

  /** Changes the state beside the log: by what was read elsewhere, or is known to come. */
  amend(change: (state: State) => State): void {
    if (this.#position) this.#state = change(this.#state as State);
  }

  /** A question was sent, or the connection broke: what comes is kept until the answer. */
  wait(): void {
    this.#kept ??= [];
  }

  /** The connection broke: what was kept is part of the answer to the next question. */
  forget(): void {
    this.#kept = [];
  }

  offer(publication: Publication): Verdict {
    if (this.#kept) {
      this.#kept.push(publication);
      if (this.#kept.length > KEPT_AT_MOST) this.#kept.shift();
      return "kept";
    }
    return this.#take(publication);
  }

  /** Takes an answer and what was kept meanwhile. Returns what was applied, and whether nothing is missing. */
  answer(answer: Subscribed): { taken: Publication[]; isComplete: boolean } {
    // What came before an answer is of the subscription that the answer replaced: in another epoch its offsets mean nothing.
    const isSameLog = this.#position === null || this.#position.epoch === answer.epoch;
    const kept = isSameLog ? (this.#kept ?? []) : [];
    this.#kept = null;
    const missed = answer.recovered ? (answer.publications ?? []) : [];
    if (!answer.recovered) {
      this.#state = this.#kind.start(answer.snapshot);
      this.#position = { epoch: answer.epoch, offset: answer.offset, mark: answer.mark };
    }
    const taken: Publication[] = [];
    for (const publication of [...missed, ...kept]) {
      const verdict = this.#take(publication);
      if (verdict === "taken") taken.push(publication);
      if (verdict === "gap") return { taken, isComplete: false };
    }
    const isShort = this.#position === null || this.#position.offset < answer.offset;
    return { taken, isComplete: !isShort };
  }

  #take(publication: Publication): Verdict {
    if (!this.#position) return "gap";
    const { epoch, offset, mark } = this.#position;
    if (publication.offset < offset || (publication.offset === offset && publication.mark === mark)) return "old";
    // The same offset with another mark: the log that we know is not the one that is.
    if (publication.offset !== offset + 1) return "gap";
    this.#state = this.#kind.apply(this.#state as State, publication);
    this.#position = { epoch, offset: publication.offset, mark: publication.mark };
    return "taken";
  }
}
