/** Following a topic: whatever is lost, doubled or late, the state is the server's. */

import { expect, test } from "vitest";
import { Follower } from "../src/follower.ts";
import { inboxKind } from "../src/inbox/state.ts";
import type { Position, Publication, Subscribed } from "../src/wire.ts";
import { InboxModel, seeded } from "./support/server.ts";

const list = {
  start: (snapshot: unknown) => snapshot as string[],
  apply: (state: string[], publication: Publication) => [...state, publication.event],
};

function publication(offset: number, event = `p${offset}`): Publication {
  return { topic: "t:1", offset, mark: offset * 10, event, data: {} };
}

function snapshot(offset: number, epoch = "e"): Subscribed {
  return { topic: "t:1", epoch, offset, mark: offset * 10, recovered: false, snapshot: [`s${offset}`] };
}

function recovered(offset: number, publications: Publication[], epoch = "e"): Subscribed {
  return { topic: "t:1", epoch, offset, mark: offset * 10, recovered: true, publications };
}

test("what comes before the snapshot is merged by offset: nothing lost, nothing doubled", () => {
  const follower = new Follower(list);
  expect([4, 5, 6].map((offset) => follower.offer(publication(offset)))).toEqual(["kept", "kept", "kept"]);
  const { taken, isComplete } = follower.answer(snapshot(5));
  expect(taken.map(({ offset }) => offset)).toEqual([6]);
  expect(isComplete).toBe(true);
  expect(follower.state).toEqual(["s5", "p6"]);
  expect(follower.position).toEqual({ epoch: "e", offset: 6, mark: 60 });
});

test("live publications are taken in order, repeated ones dropped, a missing one noticed", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(1));
  expect([2, 2, 1, 3, 5].map((offset) => follower.offer(publication(offset)))).toEqual([
    "taken",
    "old",
    "old",
    "taken",
    "gap",
  ]);
  expect(follower.state).toEqual(["s1", "p2", "p3"]);
});

test("the offset that we know with another mark is another log's: a gap, not a repetition", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(3));
  expect(follower.offer({ ...publication(3), mark: 31 })).toBe("gap");
});

test("after a gap the answer brings what was missed, and what came meanwhile follows", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(1));
  expect(follower.offer(publication(3))).toBe("gap");
  follower.wait();
  follower.offer(publication(4));
  follower.answer(recovered(3, [publication(2), publication(3)]));
  expect(follower.state).toEqual(["s1", "p2", "p3", "p4"]);
});

test("an answer with a hole in it is not complete: the state stops before the hole", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(1));
  follower.wait();
  expect(follower.answer(recovered(4, [publication(2), publication(4)])).isComplete).toBe(false);
  expect(follower.state).toEqual(["s1", "p2"]);
});

test("what does not concern this client is not sent: it stands where the answer, or a publication without an event, says", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(1));
  follower.wait();
  const { taken, isComplete } = follower.answer(recovered(6, [{ ...publication(4), after: 1 }]));
  expect([taken.map(({ offset }) => offset), isComplete]).toEqual([[4], true]);
  expect(follower.position).toEqual({ epoch: "e", offset: 6, mark: 60 });
  const { topic, offset, mark } = publication(9);
  expect(follower.offer({ topic, offset, mark, after: 6 })).toBe("taken");
  expect(follower.offer({ ...publication(12), after: 10 })).toBe("gap");
  expect(follower.offer({ ...publication(12), after: 9 })).toBe("taken");
  expect(follower.state).toEqual(["s1", "p4", "p12"]);
});

test("without a position nothing is recovered, whatever an answer says", () => {
  expect(new Follower(list).answer(recovered(3, [])).isComplete).toBe(false);
});

test("a rewind comes before the position: it is part of the state, and news only as far as it was not known", () => {
  const follower = new Follower(list);
  const first = follower.answer({ ...snapshot(3), snapshot: [], publications: [publication(2), publication(3)] });
  expect(first.taken.map(({ offset }) => offset)).toEqual([2, 3]);
  follower.offer(publication(4));
  follower.wait();
  const again = follower.answer({ ...snapshot(6), snapshot: [], publications: [4, 5, 6].map((n) => publication(n)) });
  expect(again.taken.map(({ offset }) => offset)).toEqual([5, 6]);
  expect(follower.state).toEqual(["p4", "p5", "p6"]);
  follower.wait();
  const anew = follower.answer({ ...snapshot(2, "new"), snapshot: [], publications: [publication(2)] });
  expect(anew.taken.map(({ offset }) => offset)).toEqual([2]);
});

test("publications of the former epoch are not applied to the new one", () => {
  const follower = new Follower(list);
  follower.answer(snapshot(5, "old"));
  follower.wait();
  follower.offer(publication(6, "of the old epoch"));
  follower.forget();
  follower.offer(publication(6, "behind the answer"));
  follower.answer(snapshot(5, "new"));
  expect(follower.state).toEqual(["s5", "behind the answer"]);
  expect(follower.position?.epoch).toBe("new");
});

test("what waits is bounded: the oldest goes, and the gap shows it", () => {
  const follower = new Follower(list);
  for (let offset = 1; offset <= 1_500; offset++) follower.offer(publication(offset));
  expect(follower.answer(snapshot(0)).isComplete).toBe(false);
});

const SEEDS = 150;

test(`snapshot + publications = fresh snapshot, over ${SEEDS} seeds of loss, breaks and trimmed logs`, () => {
  let recoveries = 0;
  let snapshots = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = seeded(seed);
    const model = new InboxModel("ann");
    const follower = new Follower(inboxKind);
    const pick = (n: number) => Math.floor(random() * n);
    const ask = (since: Position | null) => {
      const answer = structuredClone(model.answer(since ?? undefined)) as Subscribed;
      if (answer.recovered) recoveries++;
      else snapshots++;
      return follower.answer(answer);
    };
    for (let n = 20 + pick(120); n > 0; n--) model.add();
    ask(null);
    for (let step = 0; step < 120; step++) {
      const event = act(model, random);
      if (!event) continue;
      const fate = random();
      // Lost on the way; the next one shows the gap.
      if (fate < 0.05) continue;
      if (fate < 0.06) model.trimmed = model.log.length - 1;
      else if (fate < 0.065) {
        model.loseLog();
        // The server notices and ends the subscription.
        follower.wait();
        ask(follower.position);
        continue;
      }
      const times = fate > 0.95 ? 2 : 1;
      for (let time = 0; time < times; time++) {
        if (follower.offer(structuredClone(event)) === "gap") {
          follower.wait();
          // Some that follow arrive before the answer does.
          const late = [act(model, random), act(model, random)];
          for (const publication of late) if (publication) follower.offer(structuredClone(publication));
          ask(follower.position);
        }
      }
    }
    follower.wait();
    ask(follower.position);
    check(model, follower, `seed ${seed}`);
  }
  // Both ways were gone, often enough to mean something.
  expect(recoveries).toBeGreaterThan(SEEDS);
  expect(snapshots).toBeGreaterThan(SEEDS);
});

function act(model: InboxModel, random: () => number): Publication | null {
  const message = model.messages[Math.floor(random() * model.messages.length)];
  const kind = random();
  if (!message || kind < 0.2) return model.add();
  if (kind < 0.99) {
    const action = (["read", "unread", "archive", "archive", "unarchive"] as const)[Math.floor(random() * 5)];
    return model.change(message.id, action ?? "read");
  }
  return random() < 0.5 ? model.readAll() : model.archiveAll();
}

function check(
  model: InboxModel,
  follower: Follower<{ items: readonly object[]; unread: number; hasMore: boolean }>,
  seed: string,
) {
  const fresh = model.snapshot();
  const mine = follower.state;
  expect(follower.position, seed).toEqual(model.position);
  expect(mine?.items.slice(0, fresh.items.length), seed).toEqual(fresh.items);
  // Ours may reach further down than the window; nowhere has it a hole.
  expect(mine?.items, seed).toEqual(model.visible.slice(0, mine?.items.length));
  expect(mine?.unread, seed).toBe(fresh.unread);
  if (!mine?.hasMore) expect(mine?.items.length, seed).toBe(model.visible.length);
}
