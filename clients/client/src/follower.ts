/**
 * One topic as a pure machine: a snapshot, then every publication in order, each once. It says where something is missing;
 * who drives it asks again from `position`.
 */

import { isPublication, type Position, type Publication, type Subscribed, type Told } from "./wire.ts";

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
  #kept: Told[] | null = [];

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

  /** The connection broke, or a question was answered: what was kept is part of the answer. */
  forget(): void {
    this.#kept = [];
  }

  offer(told: Told): Verdict {
    if (this.#kept) {
      this.#kept.push(told);
      if (this.#kept.length > KEPT_AT_MOST) this.#kept.shift();
      return "kept";
    }
    return this.#take(told);
  }

  /** Takes an answer, and what was kept behind it. Returns what was applied, and whether nothing is missing. */
  answer(answer: Subscribed): { taken: Publication[]; isComplete: boolean } {
    const before = this.#position;
    const isSameLog = before === null || before.epoch === answer.epoch;
    const kept = this.#kept ?? [];
    this.#kept = null;
    const told = answer.publications ?? [];
    const taken: Publication[] = [];
    if (answer.recovered) {
      if (!this.#takeAll(told, taken)) return { taken, isComplete: false };
      // What does not concern this client is not among them: it stands where the answer says.
      if ((this.#position?.offset ?? answer.offset) < answer.offset) this.#moveTo(answer);
    } else {
      this.#state = this.#kind.start(answer.snapshot);
      this.#moveTo(answer);
      // Those of a rewind come before the position. What is known already is part of the state, but no news.
      for (const publication of told.filter(isPublication)) {
        this.#state = this.#kind.apply(this.#state, publication);
        if (before === null || !isSameLog || publication.offset > before.offset) taken.push(publication);
      }
    }
    const isComplete = this.#takeAll(kept, taken) && this.#position !== null;
    return { taken, isComplete };
  }

  /** Takes all, up to the first that does not follow; says whether all did. */
  #takeAll(told: readonly Told[], taken: Publication[]): boolean {
    for (const each of told) {
      const verdict = this.#take(each);
      if (verdict === "gap") return false;
      if (verdict === "taken" && isPublication(each)) taken.push(each);
    }
    return true;
  }

  #take(told: Told): Verdict {
    if (!this.#position) return "gap";
    const { offset, mark } = this.#position;
    if (told.offset < offset || (told.offset === offset && told.mark === mark)) return "old";
    // The same offset with another mark: the log that we know is not the one that is.
    if (told.offset === offset || (told.after ?? told.offset - 1) !== offset) return "gap";
    if (isPublication(told)) this.#state = this.#kind.apply(this.#state as State, told);
    this.#moveTo({ ...told, epoch: this.#position.epoch });
    return "taken";
  }

  #moveTo({ epoch, offset, mark }: Position): void {
    this.#position = { epoch, offset, mark };
  }
}
