/**
 * The items of a map: a snapshot that may come in pages, and publications beside it. Whatever the order in which they
 * arrive, the state is the server's: of two that speak of one key, the one with the higher offset is right.
 */

import { type ItemPage, isItemPage, isObject, type Publication, type WireItem } from "../wire.ts";

export interface Item {
  readonly data: unknown;
  /** Of the publication that changed it last; for `if: {at: offset}`. */
  readonly offset: number;
}

/** A change of an item as an application wants to hear of it; `data` of a removal is its reason. */
export interface ItemChange {
  readonly event: string;
  readonly key: string;
  readonly data: unknown;
  readonly offset: number;
}

export class Items {
  /** By key, in no order. One map for as long as the snapshot counts: copying it for each change would cost its size. */
  readonly values = new Map<string, Item>();
  /** The key behind which the page begins that is missing; null: the state is whole. */
  next: string | null = null;
  // Only while pages are missing, by key: what they might bring again, and what has to be done to what they bring.
  readonly #removed = new Map<string, number>();
  readonly #patches = new Map<string, Publication[]>();

  constructor(snapshot: ItemPage) {
    this.page(snapshot);
  }

  /** Takes a publication. Returns what it changes of what is known; null: nothing yet. */
  apply(publication: Publication): ItemChange | null {
    const { event, key, offset } = publication;
    // A page may have been ahead of the log.
    if (key === undefined || (this.values.get(key)?.offset ?? 0) >= offset) return null;
    if (event === "remove") {
      this.values.delete(key);
      this.#patches.delete(key);
      if (this.next !== null) this.#removed.set(key, offset);
      return { event, key, data: publication.data, offset };
    }
    const before = this.values.get(key);
    if (publication.patch !== undefined && !before) {
      // What it is a patch of is on a page that is missing.
      if (this.next !== null) this.#patches.set(key, [...(this.#patches.get(key) ?? []), publication]);
      return null;
    }
    this.#patches.delete(key);
    const data = publication.patch === undefined ? publication.data : patched(before?.data, publication.patch);
    this.values.set(key, { data, offset });
    return { event, key, data, offset };
  }

  /** Takes a page. */
  page(page: ItemPage): void {
    for (const item of page.items) this.#put(item);
    const last = page.next ?? page.items.at(-1)?.key;
    this.next = page.more && last !== undefined ? last : null;
    if (this.next !== null) return;
    this.#removed.clear();
    this.#patches.clear();
  }

  #put({ key, data, offset }: WireItem): void {
    const known = this.values.get(key)?.offset ?? this.#removed.get(key) ?? 0;
    if (known >= offset) return;
    const later = (this.#patches.get(key) ?? []).filter((publication) => publication.offset > offset);
    this.#patches.delete(key);
    this.values.set(key, {
      data: later.reduce((value, { patch }) => patched(value, patch), data),
      offset: later.at(-1)?.offset ?? offset,
    });
  }
}

/** The snapshot of a map, or null where it is something else. */
export function itemsOf(snapshot: unknown): Items | null {
  return isItemPage(snapshot) ? new Items(snapshot) : null;
}

/** What a merge patch makes of a value, which stays as it is (RFC 7396 §2). */
export function patched(before: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const after: Record<string, unknown> = isObject(before) ? { ...before } : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete after[name];
    else after[name] = patched(after[name], change);
  }
  return after;
}
