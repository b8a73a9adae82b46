/**
 * A map or a stream of an application's own, live: what it is now, each change once and in order, and publishing to it.
 */

import { backoff } from "../backoff.ts";
import type { Connection } from "../connection.ts";
import type { ClarionError } from "../errors.ts";
import type { Kind } from "../follower.ts";
import { newKey } from "../keys.ts";
import { createStore, type Readable, Signal } from "../store.ts";
import { Topic, type TopicStatus, type Wish } from "../topic.ts";
import { isItemPage, isObject, type Position, type Publication, type Published } from "../wire.ts";
import { insist } from "./insist.ts";
import { type Item, type Items, itemsOf } from "./items.ts";

/** One change. Of a map's item `key` says which, and `data` is its whole new value; of a removal `data` is the reason. */
export interface Change {
  readonly event: string;
  readonly key?: string;
  readonly data: unknown;
  readonly offset: number;
}

export interface LiveView {
  readonly status: TopicStatus;
  /** Of a map, by key. The same object until the next snapshot: it changes under you, the view around it is new each time. */
  readonly items: ReadonlyMap<string, Item>;
  /** Of what is no map: its newest publications as far as they were received, the oldest first. */
  readonly publications: readonly Publication[];
  /** Neither state nor topic of a known shape: what the kind's snapshot was. */
  readonly snapshot: unknown;
  /** The state is here, all of its pages. */
  readonly isWhole: boolean;
  readonly position: Position | null;
  /** Whether the last answer brought just what was missed; null before the first. */
  readonly recovered: boolean | null;
  readonly error: ClarionError | null;
}

export interface LiveOptions extends Wish {
  /** Of a stream: how many publications the view has; default 100. */
  readonly keep?: number;
}

/** What may go with a publication (docs/reference/wire.md). */
export interface PublishOptions {
  /** Makes calls one, also from elsewhere; by default one is made for this call and its repetitions. */
  readonly id?: string;
  /** Of a map whose kind has events of its own: the item. */
  readonly key?: string;
  readonly version?: number;
  readonly if?: "absent" | "present" | { readonly at: number };
  readonly ttl_s?: number;
  readonly owned?: boolean;
  readonly tags?: Readonly<Record<string, string>>;
}

interface State {
  /** Another one for each snapshot. */
  readonly begun: object;
  readonly items: Items | null;
  readonly publications: readonly Publication[];
  readonly snapshot: unknown;
}

interface Events {
  change: Change;
  /** The state is here, and whole: for the first time, or anew after a break that could not be recovered. */
  snapshot: LiveView;
}

const KEEP = 100;
const NOTHING: ReadonlyMap<string, Item> = new Map();

export class LiveTopic implements Readable<LiveView> {
  readonly name: string;
  readonly #connection: Connection;
  readonly #topic: Topic<State>;
  readonly #keep: number;
  readonly #events = { change: new Signal<Change>(), snapshot: new Signal<LiveView>() };
  readonly #view = createStore<LiveView>({
    status: "idle",
    items: NOTHING,
    publications: [],
    snapshot: undefined,
    isWhole: false,
    position: null,
    recovered: null,
    error: null,
  });
  /** What publications have changed, by their offsets, until they are told of. */
  readonly #changes = new Map<number, Change>();
  /** The state that was told of as whole, and the one of which a page is asked for. */
  #whole: object | null = null;
  #paging: Items | null = null;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, connection: Connection, { keep, ...wish }: LiveOptions = {}) {
    this.name = name;
    this.#connection = connection;
    this.#keep = keep ?? KEEP;
    this.#topic = new Topic(name, this.#kind(), connection, Math.random, wish);
    // Before all listeners: they see the state that the change has made.
    const show = () => this.#show();
    this.#topic.listen(show);
    this.#topic.arrived.listen(({ publications }) => this.#tell(publications));
  }

  /** What is known now; the same object until it changes. */
  get snapshot(): LiveView {
    return this.#view.getSnapshot();
  }

  getSnapshot(): LiveView {
    return this.#view.getSnapshot();
  }

  /** Watches the topic: it is subscribed to while anybody does. Calls back after each change. */
  subscribe(listener: () => void): () => void {
    const stops = [this.#view.subscribe(listener), this.#topic.subscribe(() => undefined)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Watches the topic: `change` is called with each change once, `snapshot` when the state is here as a whole. */
  on<Name extends keyof Events>(name: Name, listener: (what: Events[Name]) => void): () => void {
    const signal = this.#events[name] as unknown as Signal<Events[Name]>;
    const stops = [signal.listen(listener), this.#topic.subscribe(() => undefined)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Subscribes again after `stopped`. */
  restart(): void {
    this.#topic.restart();
  }

  /** Ends the subscription, whoever watches. */
  end(): void {
    clearTimeout(this.#retry);
    this.#paging = null;
    this.#topic.end();
  }

  /** Appends to a stream. Repeated until it is answered, for a minute at most; it happens once. */
  publish(event: string, data: unknown = null, options: PublishOptions = {}): Promise<Published> {
    return this.#publish({ event, data, ...options });
  }

  /** Sets an item of a map; as `publish`. Rejects with `conflict` where `if` does not hold: `error.facts.current`. */
  set(key: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    return this.#publish({ key, data, ...options });
  }

  /** Removes an item of a map; as `set`. */
  remove(key: string, options: PublishOptions = {}): Promise<Published> {
    return this.#publish({ event: "remove", key, ...options });
  }

  async #publish(given: object): Promise<Published> {
    return (await insist(this.#connection, "publish", { topic: this.name, id: newKey(), ...given })) as Published;
  }

  #kind(): Kind<State> {
    return {
      start: (snapshot) => {
        this.#changes.clear();
        return { begun: {}, items: itemsOf(snapshot), publications: [], snapshot };
      },
      apply: (state, publication) => {
        // What has no key is of no map, though a state that is empty looks like one's.
        if (state.items && publication.key !== undefined) {
          const change = state.items.apply(publication);
          if (change) this.#changes.set(change.offset, change);
          return { ...state };
        }
        const { event, data, offset } = publication;
        this.#changes.set(offset, { event, data, offset });
        return { ...state, publications: [...state.publications, publication].slice(-this.#keep) };
      },
    };
  }

  #show(): void {
    const { status, state, position, recovered, error } = this.#topic.getSnapshot();
    const items = state?.items ?? null;
    const isWhole = state !== undefined && (items?.next ?? null) === null;
    this.#view.set({
      status,
      items: items?.values ?? NOTHING,
      publications: state?.publications ?? [],
      snapshot: state?.snapshot,
      isWhole,
      position,
      recovered,
      error,
    });
    if (isWhole && this.#whole !== state.begun) {
      this.#whole = state.begun;
      this.#events.snapshot.emit(this.snapshot);
    }
    if (items && items.next !== null && status === "live" && this.#paging !== items) void this.#page(items);
  }

  #tell(publications: readonly Publication[]): void {
    for (const { offset } of publications) {
      const change = this.#changes.get(offset);
      if (change) this.#events.change.emit(change);
    }
    this.#changes.clear();
  }

  /** Brings the pages that are missing. */
  async #page(items: Items): Promise<void> {
    this.#paging = items;
    while (items.next !== null) {
      try {
        const page = await this.#connection.request("page", { topic: this.#topic.wireName, after: items.next });
        if (this.#topic.getSnapshot().state?.items !== items) return;
        // Of another log: the server will say so, and the state begins anew.
        const isOfNow = isObject(page) && page["epoch"] === this.#topic.getSnapshot().position?.epoch;
        if (!isItemPage(page) || !isOfNow) break;
        items.page(page);
        this.#failures = 0;
        this.#topic.amend((state) => ({ ...state }));
      } catch {
        break;
      }
    }
    if (this.#paging === items) this.#paging = null;
    // Away: the next answer asks for the page again. Refused though there is a subscription: later.
    if (items.next !== null && this.snapshot.status === "live") {
      this.#paging = items;
      setTimeout(
        () => {
          if (this.#paging === items) this.#paging = null;
          this.#show();
        },
        backoff(this.#failures++, Math.random()),
      );
    }
  }
}
