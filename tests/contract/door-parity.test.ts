import { beforeAll, describe, expect, it } from "vitest";
import { errorCodesOf } from "../../openapi/error-responses.js";
import { listOperations } from "../../openapi/operations.js";
import { appRouter } from "../../router/index.js";
import { endedRun } from "../support/client.js";
import { call, type DoorAnswer, doors, type Input, procedureAt, procedures } from "../support/doors.js";
import {
  type Estate,
  madeUpLike,
  makeEstate,
  operationsTable,
  rowOf,
  startWaitingRun,
} from "../support/operations-table.js";
import { useTestServer } from "../support/server-hooks.js";
import { mintKey } from "../support/sign-up.js";

const server = useTestServer({ config: { role: "worker" } });
let ada: Estate;
let powerless: string;

beforeAll(async () => {
  ada = await makeEstate(server.url);
  powerless = await mintKey(server.url, ada.client.session, { permissions: { workflows: [] } });
});

const all = [...procedures.keys()];
const guarded = all.filter((procedurePath) => procedureAt(procedurePath).meta.permission !== undefined);
const open = all.filter((procedurePath) => !guarded.includes(procedurePath));
const rows = Object.entries(operationsTable);
const withInvalid = rows.flatMap(([procedurePath, { invalid }]) => (invalid === null ? [] : [procedurePath]));
const filters = rows.flatMap(([procedurePath, { ids }]) =>
  Object.entries(ids).flatMap(([field, code]) => (code === "empty" ? [{ procedurePath, field }] : [])),
);
const withIds = rows.flatMap(([procedurePath, { ids }]) =>
  Object.entries(ids).flatMap(([field, code]) => (code === "empty" ? [] : [{ procedurePath, field, code }])),
);

/** Asks both doors in turn; a function as input is called for each of them. */
async function both(
  procedurePath: string,
  key: string | null,
  input: Input | (() => Input | Promise<Input>),
): Promise<[DoorAnswer, DoorAnswer]> {
  const ask = async (door: (typeof doors)[number]) =>
    call(door, server.url, key, procedurePath, typeof input === "function" ? await input() : input);
  return [await ask("rest"), await ask("trpc")];
}

/** The same refusal through both: code, status, message and details. */
async function refusal(procedurePath: string, key: string | null, input: Input) {
  const [rest, trpc] = await both(procedurePath, key, input);
  expect(trpc.error).toEqual(rest.error);
  expect(trpc.status).toBe(rest.status);
  return rest;
}

const keptInputs = new Map<string, Input>();

/** Valid input for calls that are refused and so use nothing up. */
async function keptInput(procedurePath: string): Promise<Input> {
  const input = keptInputs.get(procedurePath) ?? (await rowOf(procedurePath).input(ada));
  keptInputs.set(procedurePath, input);
  return input;
}

it("the operations table has a row for every procedure of the router", () => {
  expect(Object.keys(operationsTable).sort()).toEqual(all.sort());
});

describe("success", () => {
  it.each(all)(
    "%s gives the same result through both doors, over REST with its own status and headers",
    async (procedurePath) => {
      const { input, ...expected } = rowOf(procedurePath);
      const { isQuery } = procedureAt(procedurePath);
      const kept = isQuery ? await input(ada) : () => input(ada);

      const [rest, trpc] = await both(procedurePath, ada.client.key, kept);

      expect(rest).toMatchObject({ status: expected.status, error: null });
      expect(trpc).toMatchObject({ status: 200, error: null });
      const strip = isQuery ? (result: unknown) => result : withoutIdentity;
      expect(strip(trpc.result)).toEqual(strip(rest.result));
      expect(rest.result === null).toBe(expected.status === 204);
      expect(rest.headers.get("etag")).toBe(expected.hasEtag === true ? `"${rest.result.version}"` : null);
      const location = rest.headers.get("location");
      expect(location !== null).toBe(expected.hasLocation === true);
      if (location === null) return;
      expect(location.endsWith(`/${rest.result.id ?? rest.result.runId}`)).toBe(true);
      expect(await ada.client.request("GET", location)).toMatchObject({ status: 200 });
    },
  );

  it.each(open)("%s needs no credentials through either door", async (procedurePath) => {
    const [rest, trpc] = await both(procedurePath, null, await keptInput(procedurePath));
    expect([rest.status, trpc.status]).toEqual([200, 200]);
    expect(trpc.result).toEqual(rest.result);
  });

  it.each(doors)("canceling a canceled run over %s is fine again", async (door) => {
    const runId = await startWaitingRun(ada);
    await call(door, server.url, ada.client.key, "runs.cancel", { runId });
    expect(await endedRun(ada.client, runId)).toMatchObject({ state: "canceled" });
    const again = await call(door, server.url, ada.client.key, "runs.cancel", { runId });
    expect(again).toMatchObject({ status: door === "rest" ? 204 : 200, error: null });
  });
});

describe("refusal", () => {
  it.each(guarded)("%s without credentials is unauthorized through both doors", async (procedurePath) => {
    const answer = await refusal(procedurePath, null, await keptInput(procedurePath));
    expect(answer).toMatchObject({ status: 401, error: { error: "unauthorized" } });
  });

  it.each(guarded)("%s with a key of nobody is unauthorized through both doors", async (procedurePath) => {
    const answer = await refusal(procedurePath, `fk_${"x".repeat(64)}`, await keptInput(procedurePath));
    expect(answer).toMatchObject({ status: 401, error: { error: "unauthorized" } });
  });

  it.each(guarded)(
    "%s with a key that may do nothing is forbidden through both doors",
    async (procedurePath) => {
      const answer = await refusal(procedurePath, powerless, await keptInput(procedurePath));
      expect(answer).toMatchObject({ status: 403, error: { error: "forbidden" } });
      expect(answer.error.message).toContain(procedureAt(procedurePath).meta.permission);
    },
  );

  it.each(withInvalid)(
    "%s refuses what its schema does not allow alike through both doors",
    async (procedurePath) => {
      const { invalid } = rowOf(procedurePath);
      const [field] = Object.keys(invalid ?? {});
      const answer = await refusal(procedurePath, ada.client.key, {
        ...(await keptInput(procedurePath)),
        ...invalid,
      });
      expect(answer).toMatchObject({ status: 400, error: { error: "invalid_body" } });
      expect(answer.error.issues[0].path[0]).toBe(field);
      expect(answer.error.message).toContain(field);
    },
  );

  const strangeIds = [
    ["of nobody", madeUpLike],
    ["of another shape", () => "x".repeat(36)],
    ["of 36 dashes", () => "-".repeat(36)],
    ["that is too long", () => "a".repeat(500)],
    ["with a slash", () => "../../health"],
    ["in capitals of nobody", (id: string) => madeUpLike(id).toUpperCase()],
  ] as const;

  describe.each(strangeIds)("an id %s", (_, make) => {
    it.each(withIds)(
      "in $field of $procedurePath answers 404 $code alike through both doors",
      async (row) => {
        const { procedurePath, field, code } = row;
        const valid = await keptInput(procedurePath);
        const answer = await refusal(procedurePath, ada.client.key, {
          ...valid,
          [field]: make(String(valid[field])),
        });
        expect(answer).toMatchObject({ status: 404, error: { error: code } });
      },
    );

    it.each(filters)("in $field of $procedurePath finds nothing alike through both doors", async (row) => {
      const id = make(ada.workflowId);
      const answers = await both(row.procedurePath, ada.client.key, { [row.field]: id });
      for (const answer of answers) {
        expect(answer).toMatchObject({ error: null, result: { data: [] } });
      }
    });
  });
});

describe("the documented errors", () => {
  it.each(listOperations(appRouter))(
    "of $procedurePath hold every code that this suite sees",
    (operation) => {
      const { ids } = rowOf(operation.procedurePath);
      const seen = Object.values(ids).filter((code) => code !== "empty");
      const always = guarded.includes(operation.procedurePath) ? ["unauthorized", "forbidden"] : [];
      expect(errorCodesOf(operation)).toEqual(expect.arrayContaining([...seen, ...always, "invalid_body"]));
    },
  );
});

const IDENTITY =
  /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?:sch_[0-9a-f]{24}|whk_[0-9a-f]{32})|\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=\/approve\/)[\w-]{43}/g;

/** The result with every id, token and instant replaced: two new resources differ in nothing else. */
function withoutIdentity(result: unknown): unknown {
  return JSON.parse(JSON.stringify(result).replace(IDENTITY, "*"));
}
