import { afterAll, beforeAll } from "vitest";
import { openScratchDoors, type ScratchDoors } from "./scratch-doors.js";

/** Headers of a JSON body. */
export const json = { "content-type": "application/json" };

/** An answer of the REST door, as text and parsed. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read bodies of any shape and assert on them.
  readonly body: any;
}

/** Ways to ask doors that are open for the tests of a file, with the key that may do everything. */
export interface ScratchRequests {
  /** The origin, once the hooks have run. */
  url(): string;
  rest(
    method: string,
    path: string,
    body?: string | Buffer | null,
    headers?: Record<string, string>,
  ): Promise<RestAnswer>;
  /** Calls a mutation; a text is sent as it is. */
  trpc(path: string, input: unknown, key?: string): Promise<Omit<RestAnswer, "text">>;
  /** Calls a query. */
  ask(path: string, input: string): Promise<Response>;
}

/** Opens the scratch doors for the tests of a file; the lines of their log go to `lines`. */
export function useScratchDoors(lines: string[] = []): ScratchRequests {
  let doors: ScratchDoors | null = null;
  beforeAll(async () => {
    doors = await openScratchDoors(lines);
  });
  afterAll(() => doors?.close());
  const url = () => doors?.url ?? "";
  return {
    url,
    async rest(method, path, body, headers = json) {
      const response = await fetch(`${url()}/api${path}`, {
        method,
        headers: { "x-api-key": "full", ...headers },
        ...(body === undefined || body === null ? {} : { body }),
      });
      const text = await response.text();
      const { status } = response;
      return { status, headers: response.headers, text, body: text === "" ? null : JSON.parse(text) };
    },
    async trpc(path, input, key = "full") {
      const response = await fetch(`${url()}/trpc/${path}`, {
        method: "POST",
        headers: { "x-api-key": key, ...json },
        body: typeof input === "string" ? input : JSON.stringify(input),
      });
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
    ask: (path, input) =>
      fetch(`${url()}/trpc/${path}?input=${encodeURIComponent(input)}`, { headers: { "x-api-key": "full" } }),
  };
}
