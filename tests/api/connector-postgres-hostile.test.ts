import os from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { postgresQueryConnector } from "../../server/connectors/builtin/postgres-query.js";
import type { BlockContext, BlockError, JsonObject } from "../../server/connectors/define-connector.js";
import { blockFailure, runBlock } from "../support/block-context.js";
import { waitFor } from "../support/client.js";
import {
  type Deed,
  type Deeds,
  int16,
  int32,
  isReady,
  message,
  oneColumn,
  refusal,
  row,
  type Stage,
  type StandIn,
  startStandIn,
} from "../support/postgres-stand-in.js";
import { childrenOf } from "../support/processes.js";

const connector = postgresQueryConnector({ allowsPrivate: true });
const TEXT = 25;
const JSON_TYPE = 114;

const standIns: StandIn[] = [];
afterEach(async () => {
  for (const standIn of standIns.splice(0)) await standIn.close();
});

async function serve(deeds: Deeds): Promise<StandIn> {
  const standIn = await startStandIn(deeds);
  standIns.push(standIn);
  return standIn;
}

const paramsFor = ({ url }: StandIn, more: JsonObject = {}) => ({
  connectionUrl: url,
  query: "select work()",
  ...more,
});
const fail = (standIn: StandIn, more: JsonObject = {}, context: Partial<BlockContext> = {}) =>
  blockFailure(connector, paramsFor(standIn, more), context);
const sasl = (challenge: string): Deeds => ({
  startup: (socket) =>
    socket.write(message("R", Buffer.concat([int32(10), Buffer.from("SCRAM-SHA-256\0\0")]))),
  password: (socket) => socket.write(message("R", Buffer.concat([int32(11), Buffer.from(challenge)]))),
});
const silent = () => undefined;
/** Sends the piece again and again, as fast as it is taken. */
const endless =
  (piece: Buffer, head: Buffer = oneColumn(TEXT)): Deed =>
  (socket) => {
    const go = () => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on("drain", go);
    socket.write(head);
    go();
  };
const isLeft = ({ connections }: StandIn) =>
  waitFor(
    async () => connections.open,
    (open) => open === 0,
  );

describe("a database that postgres_query connects to", () => {
  it("does no harm when it breaks what the driver does by itself", async () => {
    const cases: [Deeds, string][] = [
      [{ types: (socket) => socket.write(Buffer.concat([refusal("42501"), isReady])) }, "postgres_42501"],
      [{ types: (socket) => socket.destroy() }, "postgres_unreachable"],
      [sasl("r=abc,s=YWJj"), "postgres_unreachable"],
      [{ startup: (socket) => socket.write(message("R", "\0")) }, "postgres_unreachable"],
    ];
    for (const [deeds, code] of cases) {
      const standIn = await serve(deeds);
      expect(await fail(standIn)).toMatchObject({ code });
      await isLeft(standIn);
    }
  });

  it.each([
    ["asks for a sign-in that takes minutes to compute", sasl("r=abc,s=YWJj,i=2147483647")],
    [
      "describes a column without end",
      { statement: (socket) => socket.write(Buffer.concat([message("1"), message("T", int16(9))])) },
    ] satisfies [string, Deeds],
  ])("holds nobody else up when it %s", async (_what, deeds) => {
    const [standIn, other] = [await serve(deeds), await serve({})];
    const controller = new AbortController();
    let isOver = false;
    const running = runBlock(connector, paramsFor(standIn), { signal: controller.signal })
      .catch((error: unknown) => error)
      .finally(() => {
        isOver = true;
      });
    await waitFor(
      async () => standIn.seen,
      (seen) => seen.includes("password") || seen.includes("statement"),
    );
    expect(await runBlock(connector, paramsFor(other))).toMatchObject({ rowCount: 1 });
    expect(isOver).toBe(false);
    const canceled = new Error("canceled");
    controller.abort(canceled);
    expect(await running).toBe(canceled);
    await isLeft(standIn);
  });

  it("cannot fill the memory", async () => {
    const nested = Buffer.from(`${"[".repeat(6_000_000)}${"]".repeat(6_000_000)}`);
    const oneMessage = Buffer.concat([Buffer.from("D"), int32(0x7fffffff)]);
    const megabyte = Buffer.alloc(1_000_000, "x");
    const statements: Deed[] = [
      endless(row(megabyte)),
      endless(row("x")),
      endless(megabyte, Buffer.concat([oneColumn(TEXT), oneMessage])),
      endless(message("N", megabyte)),
      (socket) => socket.write(Buffer.concat([oneColumn(JSON_TYPE), row(nested)])),
    ];
    for (const statement of statements) {
      const standIn = await serve({ statement });
      expect(await fail(standIn, { maxRows: 10_000 })).toMatchObject({
        code: "output_too_large",
        isRetryable: false,
      });
      await isLeft(standIn);
    }
  });

  it("is connected to once, and left when it closes the connection", async () => {
    for (const end of ["end", "destroy"] as const) {
      const standIn = await serve({ startup: (socket) => socket[end]() });
      expect(await fail(standIn)).toMatchObject({ code: "postgres_unreachable", isRetryable: true });
      expect(standIn.connections.all).toBe(1);
    }
  });

  it("cannot begin a copy, which no block could read or fill", async () => {
    for (const type of ["H", "G"]) {
      const copy = message(type, Buffer.concat([Buffer.from([0]), int16(0)]));
      const standIn = await serve({
        statement: (socket) => socket.write(Buffer.concat([message("1"), message("n"), message("2"), copy])),
      });
      const error = await fail(standIn, { readOnly: false });
      expect(error).toMatchObject({ code: "postgres_0A000", isRetryable: false });
      expect(error.message).toMatch(/^query: COPY /);
      await isLeft(standIn);
    }
  });

  it("never gets a password of the server's own", async () => {
    const standIn = await serve({ startup: (socket) => socket.write(message("R", int32(3))) });
    const connectionUrl = standIn.url.replace("reader:word@", "reader@");
    process.env.PGPASSWORD = "of the server";
    try {
      await fail(standIn, { connectionUrl });
    } finally {
      delete process.env.PGPASSWORD;
    }
    expect(standIn.passwords).toEqual(["\0"]);
  });
});

const stages = ["startup", "types", "begin", "limit", "statement", "commit"] as const satisfies Stage[];

describe("a query whose database falls silent", () => {
  it.each(stages)("at its %s fails when its time is up, and leaves", async (stage) => {
    const standIn = await serve({ [stage]: silent });
    expect(await fail(standIn, { timeoutMs: 1_500 })).toMatchObject({
      code: "postgres_timeout",
      isRetryable: true,
    });
    await isLeft(standIn);
  });

  it.each(stages)("at its %s ends with its run, and its process with it", async (stage) => {
    const standIn = await serve({ [stage]: silent });
    const controller = new AbortController();
    const running = runBlock(connector, paramsFor(standIn), { signal: controller.signal }).catch(
      (error: unknown) => error,
    );
    await waitFor(
      async () => standIn.seen,
      (seen) => seen.includes(stage),
    );
    const before = os.platform() === "linux" ? childrenOf(process.pid) : [];
    const canceled = new Error("canceled");
    controller.abort(canceled);
    expect(await running).toBe(canceled);
    if (os.platform() === "linux") {
      expect(before).not.toEqual([]);
      expect(childrenOf(process.pid).filter((pid) => before.includes(pid))).toEqual([]);
    }
    await isLeft(standIn);
  });
});

describe("a COMMIT that is not confirmed", () => {
  const deeds: [string, Deed][] = [
    ["the connection is lost", (socket) => socket.destroy()],
    ["its time is up", silent],
    ["the database stops", (socket) => socket.end(refusal("57P01", "FATAL"))],
    ["the database says so", (socket) => socket.write(Buffer.concat([refusal("08006"), isReady]))],
    ["the database is canceled", (socket) => socket.write(Buffer.concat([refusal("57014"), isReady]))],
  ];

  /** The failure of a query that had the time to come to its COMMIT. */
  async function failAtCommit(commit: Deed, readOnly: boolean): Promise<BlockError> {
    for (let timeoutMs = 2_000; ; timeoutMs *= 2) {
      const standIn = await serve({ commit });
      const error = await fail(standIn, { readOnly, timeoutMs });
      if (standIn.seen.includes("commit")) return error;
    }
  }

  it.each(deeds)("leaves open what a statement changed when %s", async (_why, commit) => {
    expect(await failAtCommit(commit, false)).toMatchObject({
      code: "postgres_outcome_unknown",
      isRetryable: false,
    });
  });

  it.each(deeds)("may be tried again by a query that changes nothing when %s", async (_why, commit) => {
    expect(await failAtCommit(commit, true)).toMatchObject({ isRetryable: true });
  });

  it("was rolled back when the database refuses it", async () => {
    for (const [code, isRetryable] of [
      ["23503", false],
      ["40001", true],
    ] as const) {
      const standIn = await serve({
        commit: (socket) => socket.write(Buffer.concat([refusal(code), isReady])),
      });
      expect(await fail(standIn, { readOnly: false })).toMatchObject({
        code: `postgres_${code}`,
        isRetryable,
      });
    }
  });
});

describe.runIf(os.platform() === "linux")("the process of a query", () => {
  /** Kills what the query runs in once the stage is reached. */
  async function killed(stage: Stage, more: JsonObject): Promise<BlockError> {
    const others = childrenOf(process.pid);
    const standIn = await serve({ [stage]: silent });
    const failing = fail(standIn, more);
    await waitFor(
      async () => standIn.seen,
      (seen) => seen.includes(stage),
    );
    for (const pid of childrenOf(process.pid)) if (!others.includes(pid)) process.kill(pid, "SIGKILL");
    return failing;
  }

  it("may end without harm until it may have committed", async () => {
    for (const [stage, readOnly] of [
      ["statement", true],
      ["commit", true],
      ["statement", false],
    ] as const) {
      expect(await killed(stage, { readOnly }), `${stage} ${readOnly}`).toMatchObject({
        code: "postgres_process_ended",
        isRetryable: true,
      });
    }
    expect(await killed("commit", { readOnly: false })).toMatchObject({
      code: "postgres_outcome_unknown",
      isRetryable: false,
    });
  });
});

describe("queries of several organizations", () => {
  it("run a few at the same time; those that wait keep to their time and their run", async () => {
    const standIn = await serve({ statement: silent });
    const controller = new AbortController();
    const start = (organizationId: string, signal = controller.signal) =>
      runBlock(connector, paramsFor(standIn), { organizationId, signal }).catch((error: unknown) => error);
    const greedy = Array.from({ length: 5 }, () => start("greedy"));
    const others = Array.from({ length: 3 }, () => start("other"));
    const atStatement = () => standIn.seen.filter((stage) => stage === "statement").length;
    await waitFor(
      async () => atStatement(),
      (count) => count === 6,
    );
    expect(await fail(standIn, { timeoutMs: 100 }, { organizationId: "third" })).toMatchObject({
      code: "postgres_timeout",
      isRetryable: true,
      message: expect.stringMatching(/^Other queries took all processes for 100 ms/),
    });
    const waiting = new AbortController();
    const waiter = start("third", waiting.signal);
    const gone = new Error("gone");
    waiting.abort(gone);
    expect(await waiter).toBe(gone);
    expect(standIn.connections.all).toBe(6);
    controller.abort(new Error("canceled"));
    await Promise.all([...greedy, ...others]);
    await isLeft(standIn);
    expect(await runBlock(connector, paramsFor(await serve({})))).toMatchObject({ rowCount: 1 });
  });
});
