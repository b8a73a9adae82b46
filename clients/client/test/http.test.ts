/** HTTP calls: what goes out, what comes back, and the one renewal of a refused token. */

import { expect, test, vi } from "vitest";
import { Http } from "../src/http.ts";
import { Tokens } from "../src/tokens.ts";

function setup(...answers: (Response | Error)[]) {
  const sent: { url: string; init: RequestInit }[] = [];
  const fetcher = ((url: string, init: RequestInit) => {
    sent.push({ url, init });
    const answer = answers.shift();
    return answer instanceof Response ? Promise.resolve(answer) : Promise.reject(answer);
  }) as unknown as typeof fetch;
  const getToken = vi.fn(({ fresh }: { fresh: boolean }) => (fresh ? "new" : "old"));
  const http = new Http("https://clarion.example/", new Tokens(getToken), fetcher);
  const headers = (n: number) => sent[n]?.init.headers as Record<string, string>;
  return { http, sent, headers, getToken };
}

const refused = () => Response.json({ code: "token_expired" }, { status: 401 });

test("a call carries the token and JSON, and gives the answer's JSON", async () => {
  const { http, sent, headers } = setup(Response.json({ ok: 1 }), new Response(null, { status: 204 }));
  expect(await http.call({ method: "POST", path: "/v1/x", body: { a: 1 } })).toEqual({ ok: 1 });
  expect(sent[0]).toMatchObject({ url: "https://clarion.example/v1/x", init: { method: "POST", body: '{"a":1}' } });
  expect(headers(0)).toMatchObject({ authorization: "Bearer old", "content-type": "application/json" });
  expect(await http.call({ method: "GET", path: "/v1/y" })).toBeNull();
  expect(headers(1)).not.toHaveProperty("content-type");
});

test("a page of another origin is told that the server may not allow it", async () => {
  vi.stubGlobal("location", { origin: "https://app.test" });
  const told = async (url: string) => {
    const http = new Http(url, null, () => Promise.reject(new TypeError("failed")));
    return http.call({ method: "GET", path: "/" }).catch((error: Error) => error.message);
  };
  expect(await told("https://clarion.test")).toContain("does not allow pages of https://app.test");
  for (const own of ["", "/below", "https://app.test", "https://app.test/below"])
    expect(await told(own)).toBe("The server cannot be reached");
  vi.unstubAllGlobals();
});

test("a refused token is renewed once, and the call repeated", async () => {
  const { http, headers, getToken } = setup(refused(), Response.json({ ok: 1 }), refused(), refused());
  expect(await http.call({ method: "GET", path: "/" })).toEqual({ ok: 1 });
  expect(headers(1)["authorization"]).toBe("Bearer new");
  await expect(http.call({ method: "GET", path: "/" })).rejects.toMatchObject({ status: 401, code: "token_expired" });
  expect(getToken).toHaveBeenCalledTimes(3);
});

test("no answer is an error of its own; it is repeated only where that is safe", async () => {
  const { http, sent } = setup(new TypeError("failed"), new TypeError("failed"), Response.json(1));
  await expect(http.call({ method: "POST", path: "/" })).rejects.toMatchObject({ code: "unreachable", status: 0 });
  vi.spyOn(Math, "random").mockReturnValue(0);
  expect(await http.call({ method: "POST", path: "/", retries: 1 })).toBe(1);
  expect(sent).toHaveLength(3);
});

test("an answer that should be JSON and is not is an error", async () => {
  const { http } = setup(new Response("<html>"), new Response("<html>", { status: 502 }));
  await expect(http.call({ method: "GET", path: "/" })).rejects.toMatchObject({ code: "malformed" });
  await expect(http.call({ method: "GET", path: "/" })).rejects.toMatchObject({ code: "http_502" });
});
