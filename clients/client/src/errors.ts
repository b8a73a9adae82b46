/** One error class for all that can go wrong: problem documents (RFC 9457), error acks, and no answer at all. */

import { isObject } from "./wire.ts";

/** One thing that is wrong and where: a JSON pointer into the body, `?name` of the query, or a header's name. */
export interface Fault {
  readonly pointer: string;
  readonly detail: string;
}

export class ClarionError extends Error {
  override readonly name = "ClarionError";
  /** The error's name: `invalid`, `token_expired` …; `unreachable` and `timeout` where no answer came. */
  readonly code: string;
  /** HTTP status; 0 where the error did not come by HTTP. */
  readonly status: number;
  /** What happened, for a person. */
  readonly detail: string;
  readonly errors: readonly Fault[];
  /** Seconds after which trying again makes sense; null where that is not known. */
  readonly retryAfter: number | null;
  /** All that the server said, such as `current` of a conflict. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    detail: string,
    more: {
      status?: number;
      errors?: readonly Fault[];
      retryAfter?: number | null;
      facts?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(detail);
    this.code = code;
    this.detail = detail;
    this.status = more.status ?? 0;
    this.errors = more.errors ?? [];
    this.retryAfter = more.retryAfter ?? null;
    this.facts = more.facts ?? {};
  }

  /** From the body of an HTTP answer, whatever it is: a proxy's HTML page is an error, too. */
  static fromAnswer(status: number, body: unknown): ClarionError {
    return ClarionError.#from(status, body, `The server answered ${status}`);
  }

  /** From an error ack's `error`, or a connect_error's `data`. */
  static fromSocket(body: unknown, fallback: string): ClarionError {
    return ClarionError.#from(0, body, fallback);
  }

  static #from(status: number, body: unknown, fallback: string): ClarionError {
    const known = isObject(body) ? body : {};
    const text = known["detail"] ?? known["message"] ?? known["title"];
    const retryAfter = known["retry_after"];
    return new ClarionError(
      typeof known["code"] === "string" ? known["code"] : status ? `http_${status}` : "unreachable",
      typeof text === "string" && text ? text : fallback,
      {
        status,
        errors: Array.isArray(known["errors"]) ? known["errors"].filter(isFault) : [],
        retryAfter: typeof retryAfter === "number" ? retryAfter : null,
        facts: known,
      },
    );
  }
}

/** Anything that was thrown, as a ClarionError. */
export function asError(thrown: unknown): ClarionError {
  if (thrown instanceof ClarionError) return thrown;
  return new ClarionError("unreachable", thrown instanceof Error ? thrown.message : String(thrown));
}

function isFault(value: unknown): value is Fault {
  return isObject(value) && typeof value["pointer"] === "string" && typeof value["detail"] === "string";
}
