/** One server-sent event, its data parsed. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read events of any shape and assert on them.
  readonly data: any;
}

/** An open stream of server-sent events. */
export interface EventStream {
  readonly status: number;
  readonly headers: Headers;
  /** Every event so far. */
  readonly events: readonly StreamEvent[];
  /** Everything so far as it was sent, comments included. */
  text(): string;
  /** The first event of a kind, once it is there; later ones by `isIt`. */
  until(isIt: (event: StreamEvent) => boolean): Promise<StreamEvent>;
  /** Resolves when the server has closed. */
  readonly closed: Promise<void>;
  /** Goes away without a word. */
  leave(): void;
}

/** Opens a stream with a key and, to go on behind an event, its id. */
export async function openStream(
  url: string,
  key: string | null,
  lastEventId?: string,
): Promise<EventStream> {
  const leaving = new AbortController();
  const response = await fetch(url, {
    headers: {
      accept: "text/event-stream",
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
    },
    signal: leaving.signal,
  });
  const events: StreamEvent[] = [];
  let text = "";
  let isClosed = false;
  let arrived = () => {};
  const read = async () => {
    let rest = "";
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      const messages = (rest + chunk).split("\n\n");
      rest = messages.pop() ?? "";
      events.push(...messages.flatMap(parseMessage));
      arrived();
    }
  };
  const closed = read()
    .catch(() => undefined)
    .then(() => {
      isClosed = true;
      arrived();
    });
  return {
    status: response.status,
    headers: response.headers,
    events,
    text: () => text,
    async until(isIt) {
      for (;;) {
        const found = events.find(isIt);
        if (found !== undefined) return found;
        if (isClosed) throw new Error(`The stream closed without it: ${text}`);
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
    },
    closed,
    leave: () => leaving.abort(),
  };
}

function parseMessage(message: string): StreamEvent[] {
  const fields = Object.fromEntries(
    message.split("\n").map((line) => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)];
    }),
  );
  const { event, id, data } = fields;
  return data === undefined ? [] : [{ event: event ?? "message", id: id ?? "", data: JSON.parse(data) }];
}

type Listener = (event: unknown) => void;

/**
 * As much of an EventSource as the typed client uses, over the `fetch` that it is given; it connects once. Node has
 * none of its own.
 */
export class FetchedEventSource {
  static readonly CLOSED = 2;
  readonly CLOSED = 2;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readyState = 0;
  readonly #listeners = new Map<string, Listener[]>();
  readonly #closing = new AbortController();

  constructor(url: string, { fetch }: { readonly fetch: typeof globalThis.fetch }) {
    this.#read(url, fetch).catch((error: unknown) => {
      if (this.readyState === this.CLOSED) return;
      this.close();
      this.#emit("error", { error });
    });
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  removeEventListener(type: string, listener: Listener): void {
    this.#listeners.set(
      type,
      (this.#listeners.get(type) ?? []).filter((each) => each !== listener),
    );
  }

  close(): void {
    this.readyState = this.CLOSED;
    this.#closing.abort();
  }

  async #read(url: string, fetch: typeof globalThis.fetch): Promise<void> {
    const response = await fetch(url, {
      headers: { accept: "text/event-stream" },
      signal: this.#closing.signal,
    });
    this.readyState = this.OPEN;
    this.#emit("open", {});
    let rest = "";
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const messages = (rest + chunk).split("\n\n");
      rest = messages.pop() ?? "";
      for (const message of messages) {
        const fields = new Map(
          message.split("\n").map((line) => {
            const colon = line.indexOf(":");
            return [line.slice(0, colon), line.slice(colon + 1).trimStart()] as const;
          }),
        );
        const data = fields.get("data");
        if (data === undefined) continue;
        this.#emit(fields.get("event") ?? "message", { data, lastEventId: fields.get("id") ?? "" });
      }
    }
  }

  #emit(type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}
