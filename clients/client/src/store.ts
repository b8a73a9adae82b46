/** A value that can be watched: the contract of React's `useSyncExternalStore`, without React. */

/** What readers get: the current value, and a call after each change of it. */
export interface Readable<T> {
  /** The current value. The same object until it changes. */
  getSnapshot(): T;
  /** Calls `listener` after each change; returns what ends that. */
  subscribe(listener: () => void): () => void;
}

/** What owners get beside that. */
export interface Store<T> extends Readable<T> {
  /** Replaces the value; the same value (`Object.is`) tells nobody. */
  set(value: T): void;
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    getSnapshot: () => value,
    subscribe(listener) {
      // A wrapper, so that the same function given twice is two subscriptions.
      const entry = () => listener();
      listeners.add(entry);
      return () => {
        listeners.delete(entry);
      };
    },
    set(next) {
      if (Object.is(value, next)) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
  };
}

/** A set of listeners for things that happen, which a store cannot tell: a store has only the newest value. */
export class Signal<T> {
  readonly #listeners = new Set<(value: T) => void>();

  listen(listener: (value: T) => void): () => void {
    const entry = (value: T) => listener(value);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }
}
