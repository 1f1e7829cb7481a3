import { afterEach, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { newClient } from "../support/client.js";
import {
  type EventStream,
  FetchedEventSource,
  openStream,
  type StreamEvent,
} from "../support/event-stream.js";
import { startTestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  runDocument,
  startRun,
  startWaiting,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const server = useTestServer({ config: { role: "worker" } });
const client = useClient(server);
const streams: EventStream[] = [];
afterEach(() => {
  for (const stream of streams.splice(0)) stream.leave();
});

async function watch(runId: string, lastEventId?: string, key: string | null = client.key, at = server.url) {
  const stream = await openStream(`${at}/api/runs/${runId}/stream`, key, lastEventId);
  streams.push(stream);
  return stream;
}

const waitingChain = {
  blocks: [trigger, wait("pause", 1, "h"), transform("say", 1), { ...transform("off", 1), enabled: false }],
  connections: connect("start>pause>say"),
};

const startChain = async () => startWaiting(client, await createWorkflow(client, waitingChain));

/** What a client knows that applies every event in order. */
function known(events: readonly StreamEvent[]): Record<string, string> {
  return Object.fromEntries(
    events.map(({ event, data }) => [event === "block" ? data.blockId : "run", data.state]),
  );
}

describe("a stream of a run", () => {
  it("begins with how the run and each block stand, tells what happens, and ends", async () => {
    const runId = await startChain();
    const stream = await watch(runId);
    expect(stream.status).toBe(200);
    expect(stream.headers.get("content-type")).toMatch(/^text\/event-stream/);
    await stream.until(({ data }) => data.blockId === "off");
    expect(stream.events.map(({ event, data }) => [event, data.blockId, data.state])).toEqual([
      ["run", undefined, "waiting"],
      ["block", "start", "completed"],
      ["block", "pause", "waiting"],
      ["block", "say", "pending"],
      ["block", "off", "skipped"],
    ]);
    await client.request("POST", `/api/runs/${runId}/cancel`);
    await stream.closed;
    expect(stream.events.slice(5).map(({ event, data }) => [event, data.blockId, data.state])).toEqual([
      ["block", "pause", "canceled"],
      ["block", "say", "skipped"],
      ["run", undefined, "canceled"],
      ["end", undefined, "canceled"],
    ]);
    expect(new Set(stream.events.map(({ id }) => id)).size).toBe(9);
  });

  it("of a run that has ended tells everything and ends at once", async () => {
    const run = await runDocument(client, {
      blocks: [transform("say", 1), block("call", "http", { url: "{{say.result}}" })],
      connections: connect("say>call"),
    });
    const stream = await watch(run.id);
    await stream.closed;
    expect(known(stream.events)).toEqual({ run: "failed", say: "completed", call: "failed" });
    expect(stream.events.at(-1)).toMatchObject({ event: "end", data: { state: "failed", error: run.error } });
  });

  it("reaches the end with every block settled, whatever happens while it is read", async () => {
    const blocks = Array.from({ length: 12 }, (_, index) => wait(`w${index}`, index * 15));
    const id = await createWorkflow(client, { blocks: [...blocks, transform("last", 1)] });
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        const stream = await watch(await startRun(client, id));
        await stream.closed;
        const states = known(stream.events);
        expect(Object.keys(states)).toHaveLength(14);
        expect(new Set(Object.values(states))).toEqual(new Set(["completed"]));
      }),
    );
  });
});

describe("a client that comes back", () => {
  it("is told exactly what changed since its last event", async () => {
    const runId = await startChain();
    const first = await watch(runId);
    await first.until(({ data }) => data.blockId === "off");
    const [, second, , , last] = first.events;
    first.leave();
    const behindSecond = await watch(runId, second?.id);
    await behindSecond.until(({ data }) => data.blockId === "off");
    expect(behindSecond.events).toEqual(first.events.slice(2));
    const behindLast = await watch(runId, last?.id);
    await client.request("POST", `/api/runs/${runId}/cancel`);
    await behindLast.closed;
    expect(behindLast.events.map(({ event, data }) => [event, data.blockId, data.state])).toEqual([
      ["block", "pause", "canceled"],
      ["block", "say", "skipped"],
      ["run", undefined, "canceled"],
      ["end", undefined, "canceled"],
    ]);
  });

  it("loses nothing and hears nothing twice, wherever its connection breaks", async () => {
    const run = await runDocument(client, waitlessChain);
    const whole = await watch(run.id);
    await whole.closed;
    for (const [index, { id, event }] of whole.events.entries()) {
      const again = await watch(run.id, id);
      await again.closed;
      expect(again.events).toEqual(whole.events.slice(index + 1));
      expect(again.status).toBe(event === "end" ? 204 : 200);
    }
  });

  it.each(["nonsense", "running.c1", "end.c1.c1.c1.c1.c1.c1", "waiting.c1*999", "..", "%00"])(
    "with the id %s of no event of the run is told everything",
    async (id) => {
      const run = await runDocument(client, waitlessChain);
      const stream = await watch(run.id, id);
      await stream.closed;
      expect(known(stream.events)).toEqual({
        run: "completed",
        start: "completed",
        say: "completed",
        more: "completed",
      });
    },
  );
});

const waitlessChain = {
  blocks: [trigger, transform("say", 1), transform("more", 2)],
  connections: connect("start>say>more"),
};

describe("whoever asks for a stream", () => {
  it("without credentials, without the permission, or of another organization is refused as any read", async () => {
    const runId = await startChain();
    const stranger = await newClient(server.url);
    const answers = await Promise.all(
      [null, stranger.key].map(async (key) => {
        const response = await fetch(`${server.url}/api/runs/${runId}/stream`, {
          headers: key === null ? {} : { authorization: `Bearer ${key}` },
        });
        return [response.status, ((await response.json()) as { error: string }).error];
      }),
    );
    expect(answers).toEqual([
      [401, "unauthorized"],
      [404, "not_found"],
    ]);
    for (const id of ["nonsense", "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d"]) {
      const { status, body } = await client.request("GET", `/api/runs/${id}/stream`);
      expect([status, body.error]).toEqual([404, "not_found"]);
    }
  });

  it("gets its head without its events for HEAD", async () => {
    const runId = await startChain();
    const response = await fetch(`${server.url}/api/runs/${runId}/stream`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${client.key}` },
    });
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  });
});

describe("over tRPC", () => {
  /** Every event of a subscription until it completes, goes wrong or `isEnough`. */
  function subscribe(
    input: { runId: string; lastEventId?: string },
    isEnough: (event: { type: string }) => boolean = () => false,
  ) {
    const flowkeep = createFlowkeepClient({
      url: server.url,
      apiKey: client.key,
      EventSource: FetchedEventSource as never,
    });
    return new Promise<{ id: string; data: Record<string, unknown> }[]>((resolve, reject) => {
      const events: { id: string; data: { type: string } }[] = [];
      const subscription = flowkeep.runs.stream.subscribe(input, {
        onData: (event) => {
          events.push(event);
          if (!isEnough(event.data)) return;
          subscription.unsubscribe();
          resolve(events);
        },
        onComplete: () => resolve(events),
        onError: reject,
      });
    });
  }

  it("the same events have the same ids, and a client goes on behind the last one", async () => {
    const run = await runDocument(client, waitlessChain);
    const rest = await watch(run.id);
    await rest.closed;
    const events = await subscribe({ runId: run.id });
    expect(events).toEqual(rest.events.map(({ id, data }) => ({ id, data })));
    const second = events[1]?.id ?? "";
    expect(await subscribe({ runId: run.id, lastEventId: second })).toEqual(events.slice(2));
  });

  it("tells of a run that goes on, and frees everything when the client leaves", async () => {
    const runId = await startChain();
    const events = await subscribe({ runId }, ({ type }) => type === "block");
    expect(events.map(({ data }) => data.type)).toEqual(["run", "block"]);
  });

  it("another organization's run is not found", async () => {
    const stranger = await newClient(server.url);
    const id = await createWorkflow(stranger, waitlessChain);
    const failure = await subscribe({ runId: await startRun(stranger, id) }).catch((error) => error);
    expect(failure.data).toMatchObject({ error: "not_found", httpStatus: 404 });
  });
});

it("streams end when the server stops", async () => {
  const other = await startTestServer({ databaseUrl: server.databaseUrl, config: { role: "api" } });
  const stream = await watch(await startChain(), undefined, client.key, other.url);
  await stream.until(({ data }) => data.blockId === "off");
  await other.close();
  await stream.closed;
  expect(stream.events.map(({ event }) => event)).not.toContain("end");
});
