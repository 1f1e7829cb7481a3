import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { listOperations } from "../../openapi/operations.js";
import { appRouter } from "../../router/index.js";
import { waitFor } from "../support/client.js";
import { call, type DoorAnswer, doors, procedures } from "../support/doors.js";
import {
  createSchedule,
  type Estate,
  madeUpLike,
  makeEstate,
  operationsTable,
  rowOf,
} from "../support/operations-table.js";
import { startTestServer, type TestServer } from "../support/server.js";

let server: TestServer;
let ada: Estate;
let bob: Estate;

beforeAll(async () => {
  // Without a scheduler only the ticks of these tests fire.
  server = await startTestServer({ config: { role: "worker" } });
  [ada, bob] = await Promise.all([makeEstate(server.url), makeEstate(server.url)]);
});
afterAll(() => server.close());

const idFields = Object.entries(operationsTable).flatMap(([procedurePath, { ids }]) =>
  Object.entries(ids).map(([field, code]) => ({ procedurePath, field, code })),
);
const refusing = idFields.filter(({ code }) => code !== "empty");
const filtering = idFields.filter(({ code }) => code === "empty");
const lists = [...procedures]
  .filter(
    ([procedurePath, { isQuery }]) => isQuery && !refusing.some((row) => row.procedurePath === procedurePath),
  )
  .map(([procedurePath]) => procedurePath);

describe("the operations table", () => {
  it("has a row for every procedure of the router and no other", () => {
    expect(Object.keys(operationsTable).sort()).toEqual([...procedures.keys()].sort());
  });

  it.each(listOperations(appRouter))("classifies every id in the input of $procedurePath", (operation) => {
    const { ids, otherIds = [] } = rowOf(operation.procedurePath);
    const found = Object.keys(operation.inputShape).filter((name) => /^id$|Ids?$/.test(name));
    expect([...Object.keys(ids), ...otherIds].sort()).toEqual(found.sort());
  });
});

describe.each(doors)("over %s", (door) => {
  const as = ({ client }: Estate, procedurePath: string, input: object) =>
    call(door, server.url, client.key, procedurePath, { ...input });

  it.each(refusing)(
    "$procedurePath answers another organization's $field as one of nobody, 404 $code, and changes nothing",
    async ({ procedurePath, field, code }) => {
      const { input, status } = rowOf(procedurePath);
      const adasInput = await input(ada);
      const id = z.string().parse(adasInput[field]);
      const bobsInput = await input(bob);
      const before = await everythingOf(ada);

      const foreign = await as(bob, procedurePath, { ...bobsInput, [field]: id });
      const nobodys = await as(bob, procedurePath, { ...bobsInput, [field]: madeUpLike(id) });

      expect(foreign).toMatchObject({ status: 404, error: { error: code } });
      expect(comparable(foreign)).toBe(comparable(nobodys));
      expect(await everythingOf(ada)).toEqual(before);
      expect(await as(ada, procedurePath, adasInput)).toMatchObject({
        status: door === "rest" ? status : 200,
        error: null,
      });
    },
  );

  it.each(filtering)(
    "$procedurePath finds nothing by another organization's $field",
    async ({ procedurePath, field }) => {
      const adasInput = await rowOf(procedurePath).input(ada);
      const id = z.string().parse(adasInput[field]);

      const foreign = await as(bob, procedurePath, adasInput);
      const nobodys = await as(bob, procedurePath, { ...adasInput, [field]: madeUpLike(id) });

      expect(foreign.result).toEqual({ data: [], pagination: { next: null, prev: null } });
      expect(comparable(foreign)).toBe(comparable(nobodys));
      expect((await as(ada, procedurePath, adasInput)).result.data).not.toEqual([]);
    },
  );

  it.each(lists)("%s shows nothing of another organization", async (procedurePath) => {
    const { client, ...ids } = ada;
    const { result } = await as(bob, procedurePath, await unfiltered(procedurePath, bob));
    for (const id of [...Object.values(ids), client.session.organizationId, client.session.userId]) {
      expect(JSON.stringify(result)).not.toContain(id);
    }
  });

  it("a tick fires the schedules of the caller's organization only", async () => {
    const { client, workflowId } = await makeEstate(server.url);
    const scheduleId = await createSchedule(client, workflowId, "* * * * *");

    const { result: bobs } = await as(bob, "admin.tick", {});
    const { result: own } = await call(door, server.url, client.key, "admin.tick");

    expect(JSON.stringify(bobs)).not.toContain(scheduleId);
    expect(bobs).toMatchObject({ fired: [], failed: [], skippedAlreadyFired: 0 });
    expect(own.fired).toEqual([{ scheduleId, runId: expect.any(String) }]);
    const { result: runs } = await as(bob, "runs.list", { trigger: "schedule" });
    expect(runs.data).toEqual([]);
  });
});

/** What differs between two answers of the same content. */
const PER_REQUEST = /^(?:date|x-request-id|ratelimit-.*)$/;

function comparable({ status, headers, result, error }: DoorAnswer): string {
  const kept = [...headers].filter(([name]) => !PER_REQUEST.test(name));
  return JSON.stringify({ status, headers: kept, result, error });
}

/** The row's input without what narrows a list. */
async function unfiltered(procedurePath: string, estate: Estate) {
  const { input, ids } = rowOf(procedurePath);
  const { limit: _, tag: __, ...rest } = await input(estate);
  return Object.fromEntries(Object.entries(rest).filter(([field]) => !Object.hasOwn(ids, field)));
}

/** Waits until no run works, nor will: the decision of an approval has yet to wake the run that waits for it. */
async function restOf({ client }: Estate): Promise<void> {
  const { body: approvals } = await client.request("GET", "/api/approvals?limit=100");
  const decided = approvals.data.filter(({ state }: { state: string }) => state !== "pending");
  const answered = new Set(decided.map(({ runId }: { runId: string }) => runId));
  await waitFor(
    () => client.request("GET", "/api/runs?limit=100"),
    ({ body }) =>
      body.data.every(
        ({ id, state }: { id: string; state: string }) =>
          !["pending", "running"].includes(state) && !(state === "waiting" && answered.has(id)),
      ),
  );
}

/** Every list of the organization and each of its resources, once all its runs rest. */
async function everythingOf(estate: Estate) {
  const { client } = estate;
  await restOf(estate);
  const queries = [...procedures].filter(([, { isQuery }]) => isQuery);
  return Promise.all(
    queries.map(async ([procedurePath]) => {
      const input = lists.includes(procedurePath)
        ? await unfiltered(procedurePath, estate)
        : await rowOf(procedurePath).input(estate);
      const { result } = await call("trpc", server.url, client.key, procedurePath, input);
      return { procedurePath, result };
    }),
  );
}
