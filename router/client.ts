import {
  createTRPCClient,
  httpBatchLink,
  httpSubscriptionLink,
  splitLink,
  type TRPCClient,
} from "@trpc/client";
import type { AppRouter } from "./index.js";

export type { AppRouter } from "./index.js";

/** Where the server is and who asks. Of `apiKey` and `token` one is enough; a browser page may do with its cookie. */
export interface FlowkeepClientOptions {
  /** Origin of the server, such as `http://localhost:3000`. */
  readonly url: string;
  /** An API key, `fk_…`. */
  readonly apiKey?: string;
  /** A session token, as `set-auth-token` of a sign-in gives it. */
  readonly token?: string;
  /** Sent with every request, over what the other options say. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Opens the streams, such as `runs.stream`; absent: that of the platform. Browsers have one that sends nothing but
   * their cookie; one that takes `fetch`, as that of the package eventsource, sends key, token and headers too.
   */
  readonly EventSource?: EventSourceClass;
}

type EventSourceClass = NonNullable<Parameters<typeof httpSubscriptionLink>[0]["EventSource"]>;

/** Calls made in the same tick share a request, at most this many; the server takes no more. */
const MAX_BATCH_SIZE = 50;
/** Longer query batches are split: Node refuses heads above 16 KiB. */
const MAX_URL_LENGTH = 8_000;

/** Makes a client whose methods, inputs and answers are typed by the server's router. Opens no connection by itself. */
export function createFlowkeepClient(options: FlowkeepClientOptions): TRPCClient<AppRouter> {
  const { apiKey, token, fetch = globalThis.fetch, EventSource } = options;
  const url = `${options.url.replace(/\/+$/, "")}/trpc`;
  const bearer = apiKey ?? token;
  const headers = {
    ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    ...options.headers,
  };
  return createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: ({ type }) => type === "subscription",
        true: httpSubscriptionLink({
          url,
          ...(EventSource === undefined ? {} : { EventSource }),
          eventSourceOptions: {
            withCredentials: true,
            fetch: (input: string | URL, init: RequestInit) =>
              fetch(input, { ...init, headers: { ...(init.headers as Record<string, string>), ...headers } }),
          },
        }),
        false: httpBatchLink({
          url,
          maxItems: MAX_BATCH_SIZE,
          maxURLLength: MAX_URL_LENGTH,
          headers,
          fetch: (input, init) => fetch(input, init as RequestInit),
        }),
      }),
    ],
  });
}
