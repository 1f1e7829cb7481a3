import { mintKey, type SignedUp, signUp } from "./sign-up.js";

/** An answer of the REST door, body parsed. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests read bodies of any shape and assert on them.
  readonly body: any;
}

/** A principal of a fresh organization with both doors at hand. */
export interface TestClient {
  readonly url: string;
  readonly key: string;
  readonly session: SignedUp;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

/** Signs a user up, mints a key for the personal organization and answers with a client that uses the key. */
export async function newClient(url: string): Promise<TestClient> {
  const session = await signUp(url);
  const key = await mintKey(url, session);
  return { url, key, session, request: (...args) => send(url, key, ...args) };
}

/** Sends one REST request; `body` undefined sends none, a string is sent as it is. */
export async function send(
  url: string,
  key: string | null,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

/** Asks until `isDone` says so; fails after `timeoutMs`. */
export async function waitFor<T>(
  ask: () => Promise<T>,
  isDone: (value: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (isDone(value)) return value;
    if (Date.now() > deadline)
      throw new Error(`Waited ${timeoutMs} ms in vain; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The run as it is now. */
export async function readRun(client: TestClient, runId: string) {
  return (await client.request("GET", `/api/runs/${runId}`)).body;
}

/** The run once it is in the state, in which it has to stay until it is seen. */
export function runInState(client: TestClient, runId: string, state: string) {
  return waitFor(
    () => readRun(client, runId),
    (run) => run.state === state,
  );
}

/** The run once it has ended. */
export function endedRun(client: TestClient, runId: string) {
  return waitFor(
    () => readRun(client, runId),
    (run) => ["completed", "failed", "canceled"].includes(run.state),
  );
}
