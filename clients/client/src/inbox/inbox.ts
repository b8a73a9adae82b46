/** The signed-in person's inbox: live, with actions that show at once and are taken back if the server refuses them. */

import type { Connection } from "../connection.ts";
import { asError, type ClarionError } from "../errors.ts";
import type { Kind } from "../follower.ts";
import type { Http } from "../http.ts";
import { createStore, type Readable, Signal } from "../store.ts";
import { Topic } from "../topic.ts";
import { type InboxPage, isObject, type Message, type Publication } from "../wire.ts";
import { type Action, EMPTY, type InboxState, type Intent, inboxKind, intend, isMessage, withPage } from "./state.ts";

export interface InboxView {
  /** Newest first, without archived ones. */
  readonly items: readonly Message[];
  readonly unread: number;
  /** Of these, those that nobody has had on a screen. */
  readonly unseen: number;
  readonly hasMore: boolean;
  /** Nothing is known yet. */
  readonly loading: boolean;
  readonly loadingMore: boolean;
  /** Why there is nothing, or what went wrong last; cleared by the next thing that works, or by `clearError`. */
  readonly error: ClarionError | null;
}

const PAGE = 50;
const START: InboxView = { ...EMPTY, loading: true, loadingMore: false, error: null };

export class Inbox implements Readable<InboxView> {
  /** Messages as they arrive, also those that came while the connection was away; not those of a snapshot. */
  readonly added = new Signal<readonly Message[]>();
  readonly #connection: Connection;
  readonly #http: Http;
  readonly #view = createStore<InboxView>(START);

  // Changes while watched
  #topic: Topic<InboxState> | null = null;
  #watchers = 0;
  #stopWatching: (() => void) | null = null;
  #intents: readonly Intent[] = [];
  /** Actions go one after the other: read and then unread must arrive as such. */
  #queue: Promise<unknown> = Promise.resolve();
  /** Where the next page begins; undefined: no page since the snapshot. */
  #cursor: string | null | undefined;
  /** Publications since a page was asked for, to be repeated on what it brings; null: none is asked for. */
  #sincePage: Publication[] | null = null;

  constructor(connection: Connection, http: Http) {
    this.#connection = connection;
    this.#http = http;
  }

  getSnapshot(): InboxView {
    return this.#view.getSnapshot();
  }

  /** The topic below, for those who want to see positions; null until the connection knows whose inbox it is. */
  get topic(): Topic<InboxState> | null {
    return this.#topic;
  }

  /** Watches the inbox; opens the connection if need be. */
  subscribe(listener: () => void): () => void {
    const unsubscribe = this.#view.subscribe(listener);
    if (this.#watchers++ === 0) this.#watch();
    let isWatching = true;
    return () => {
      if (!isWatching) return;
      isWatching = false;
      unsubscribe();
      if (--this.#watchers === 0) this.#stopWatching?.();
    };
  }

  markRead(message: Message): Promise<ClarionError | null> {
    return this.#act("read", message);
  }

  markUnread(message: Message): Promise<ClarionError | null> {
    return this.#act("unread", message);
  }

  archive(message: Message): Promise<ClarionError | null> {
    return this.#act("archive", message);
  }

  /** Takes a message back from the archive; it is given because the inbox no longer has it. */
  unarchive(message: Message): Promise<ClarionError | null> {
    return this.#act("unarchive", message);
  }

  markAllRead(): Promise<ClarionError | null> {
    return this.#actOnAll("read");
  }

  archiveAll(): Promise<ClarionError | null> {
    return this.#actOnAll("archive");
  }

  /** Brings older messages. */
  async loadMore(): Promise<ClarionError | null> {
    const topic = this.#topic;
    if (!topic || this.#sincePage || !this.getSnapshot().hasMore) return null;
    const since: Publication[] = [];
    this.#sincePage = since;
    this.#show({ error: null });
    try {
      // Cursors are the server's secret; so the first page overlaps with the snapshot, and is larger.
      const query = this.#cursor ? `?limit=${PAGE}&cursor=${encodeURIComponent(this.#cursor)}` : `?limit=${2 * PAGE}`;
      const page = await this.#http.call<InboxPage>({ method: "GET", path: `/v1/inbox${query}`, retries: 1 });
      const isOfNow = this.#sincePage === since && topic.getSnapshot().position?.epoch === page.position.epoch;
      if (isOfNow) {
        this.#cursor = page.next;
        topic.amend((state) => joined(state, page, since));
      }
      return null;
    } catch (thrown) {
      const error = asError(thrown);
      this.#show({ error });
      return error;
    } finally {
      if (this.#sincePage === since) this.#sincePage = null;
      this.#show({});
    }
  }

  clearError(): void {
    this.#show({ error: null });
  }

  // ── watching ──

  #watch(): void {
    const stops = [this.#connection.live.listen(() => this.#open()), this.#connection.subscribe(() => this.#show({}))];
    this.#stopWatching = () => {
      for (const stop of stops) stop();
      this.#stopWatching = null;
      this.#unwatchTopic();
    };
    if (this.#topic) this.#watchTopic(this.#topic);
    this.#connection.connect();
    if (this.#connection.isUp) this.#open();
  }

  #unwatchTopic: () => void = () => undefined;

  /** The connection is live, so it is known whose it is. */
  #open(): void {
    const name = `inbox:${this.#connection.user ?? ""}`;
    if (this.#topic?.name === name) return;
    // Another person signed in: nothing of the former one stays.
    this.#unwatchTopic();
    this.#topic?.end();
    this.#intents = [];
    this.#topic = new Topic(name, this.#kind(), this.#connection);
    this.#watchTopic(this.#topic);
  }

  #watchTopic(topic: Topic<InboxState>): void {
    const stops = [
      topic.subscribe(() => this.#show({})),
      topic.arrived.listen(({ publications }) => this.#arrived(publications)),
    ];
    this.#unwatchTopic = () => {
      for (const stop of stops) stop();
    };
    this.#show({});
  }

  #kind(): Kind<InboxState> {
    return {
      start: (snapshot) => {
        // The list begins anew, so the pages below it do, too.
        this.#cursor = undefined;
        this.#sincePage = null;
        return inboxKind.start(snapshot);
      },
      apply: inboxKind.apply,
    };
  }

  #arrived(publications: readonly Publication[]): void {
    this.#sincePage?.push(...publications);
    const messages = publications
      .filter(({ event }) => event === "added")
      .map(({ data }) => (isObject(data) ? data["message"] : null))
      .filter(isMessage);
    if (messages.length > 0) this.added.emit(messages);
  }

  // ── acting ──

  #act(action: Action, message: Message): Promise<ClarionError | null> {
    const path = `/v1/inbox/${encodeURIComponent(message.id)}/${action}`;
    return this.#do({ action, message, at: new Date().toISOString() }, path);
  }

  #actOnAll(action: "read" | "archive"): Promise<ClarionError | null> {
    const upto = this.getSnapshot().items[0]?.seq ?? 0;
    return this.#do({ action, message: null, upto, at: new Date().toISOString() }, `/v1/inbox/${action}`);
  }

  async #do(intent: Intent, path: string): Promise<ClarionError | null> {
    this.#intents = [...this.#intents, intent];
    this.#show({ error: null });
    // Each of these may be repeated: the second time it changes nothing.
    const done = this.#queue.then(() => this.#http.call<unknown>({ method: "POST", path, retries: 1 }));
    this.#queue = done.catch(() => undefined);
    let error: ClarionError | null = null;
    try {
      await done;
      // Until its publication comes, the state keeps what was done; if that came already, nothing changes.
      this.#topic?.amend((state) => intend(state, intent));
    } catch (thrown) {
      error = asError(thrown);
    }
    this.#intents = this.#intents.filter((other) => other !== intent);
    this.#show(error ? { error } : {});
    return error;
  }

  // ── showing ──

  #show(change: Partial<Pick<InboxView, "error">>): void {
    const topic = this.#topic?.getSnapshot();
    const state = topic?.state;
    const connection = this.#connection.getSnapshot();
    const fatal =
      topic?.status === "stopped" ? topic.error : connection.status === "failed" ? connection.lastError : null;
    this.#view.set({
      ...this.#intents.reduce(intend, state ?? EMPTY),
      loading: state === undefined && !fatal,
      loadingMore: this.#sincePage !== null,
      error: fatal ?? (change.error === undefined ? this.getSnapshot().error : change.error),
    });
  }
}

/** The state with a page, on which the publications that it does not have are repeated. */
function joined(state: InboxState, page: InboxPage, since: readonly Publication[]): InboxState {
  const known = new Set(state.items.map((item) => item.id));
  // What is known is kept up to date by publications already.
  const older = page.items.filter((item) => !known.has(item.id));
  const missing = since.filter((publication) => publication.offset > page.position.offset);
  return missing.reduce(inboxKind.apply, withPage(state, older, page.next !== null));
}
