import postgres from "postgres";

/** Longest wait for a connection, in seconds: what it would answer is asked elsewhere by then. */
const CONNECT_TIMEOUT_S = 5;
/** Time that statements on the healthy connections of a replaced pool get to end, in seconds. */
const REPLACED_GRACE_S = 2;

export interface PoolOptions {
  /** Most connections. */
  readonly max: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
}

const losses = new WeakMap<postgres.ReservedSql, Promise<never>>();

/**
 * Rejects with a lost connection once a reserved one cannot be used any more, and never resolves: the driver may leave
 * what waits there without an answer.
 */
export function lossOf(reserved: postgres.ReservedSql): Promise<never> | undefined {
  return losses.get(reserved);
}

/** The driver's pool at one time. */
interface Generation {
  readonly sql: postgres.Sql;
  isReplaced: boolean;
  /** Settles when every connection has been opened; absent until a transaction needs it. */
  opened?: Promise<unknown>;
  /** Refuse what waits for one of its connections. */
  readonly waiting: Set<() => void>;
}

/**
 * A pool of postgres.js that outlasts its connections. The driver (3.4.9) cannot use a connection again whose socket
 * closed while a write was pending (it hangs until the connect timeout), and ends the process when a transaction
 * goes on after its connection has closed: https://github.com/porsager/postgres/issues/1208. So when a connection is
 * lost, later statements go to a new pool, and transactions of the old one are refused their next statement with
 * `CONNECTION_ENDED`.
 */
export function openPool(url: string, options: PoolOptions): postgres.Sql {
  const pool = new ReplacedOnLoss(url, options);
  const methods = {
    reserve: () => pool.reserve(),
    listen: (...args: Parameters<postgres.Sql["listen"]>) => pool.listen(...args),
    end: (ending?: { timeout?: number }) => pool.end(ending),
  };
  return forward(
    () => pool.current.sql,
    (key) => Reflect.get(methods, key),
  );
}

class ReplacedOnLoss {
  current: Generation;
  private readonly url: string;
  private readonly options: PoolOptions;
  /** Refuses every statement once it is awaited, as the driver itself does after `end`. */
  private readonly ended: postgres.Sql;
  /** Subscriptions live on a client of their own, which reconnects by itself. */
  private listener: postgres.Sql | null = null;
  private isEnding = false;

  constructor(url: string, options: PoolOptions) {
    this.url = url;
    this.options = options;
    this.ended = postgres(url, { max: 1 });
    void this.ended.end();
    this.current = this.open();
  }

  async reserve(): Promise<postgres.ReservedSql> {
    const generation = this.current;
    // Without fetching types the driver never hands over a connection that it opened for a reservation.
    generation.opened ??= Promise.all(
      Array.from({ length: this.options.max }, () => generation.sql`select 1`),
    );
    await generation.opened;
    const { lost, forget } = this.watch(generation);
    const reserved = await Promise.race([generation.sql.reserve(), lost]);
    const release = () => {
      forget();
      reserved.release();
    };
    const guarded = forward<postgres.ReservedSql>(
      () => (generation.isReplaced ? this.ended : reserved),
      (key) => (key === "release" ? release : undefined),
    );
    losses.set(guarded, lost);
    return guarded;
  }

  /** `lost` rejects once the generation is replaced. */
  private watch(generation: Generation): { readonly lost: Promise<never>; readonly forget: () => void } {
    let refuse: () => void = () => undefined;
    const lost = new Promise<never>((_resolve, reject) => {
      refuse = () => {
        this.refuse().catch(reject);
      };
    });
    lost.catch(() => undefined);
    generation.waiting.add(refuse);
    if (generation.isReplaced) refuse();
    return { lost, forget: () => generation.waiting.delete(refuse) };
  }

  /** Fails as any statement on a pool that has ended. */
  private async refuse(): Promise<never> {
    await this.ended`select 1`;
    throw new Error("A pool that has ended answered.");
  }

  listen(...args: Parameters<postgres.Sql["listen"]>): ReturnType<postgres.Sql["listen"]> {
    this.listener ??= postgres(this.url, { ...this.driverOptions(), max: 1 });
    return this.listener.listen(...args);
  }

  async end(ending: { timeout?: number } = {}): Promise<void> {
    this.isEnding = true;
    await Promise.all([this.current.sql.end(ending), this.listener?.end(ending)]);
  }

  private open(): Generation {
    const generation: Generation = {
      isReplaced: false,
      waiting: new Set(),
      sql: postgres(this.url, {
        ...this.driverOptions(),
        max: this.options.max,
        onclose: () => this.replace(generation),
      }),
    };
    return generation;
  }

  private replace(generation: Generation): void {
    if (generation.isReplaced || this.isEnding) return;
    generation.isReplaced = true;
    for (const refuse of generation.waiting) refuse();
    this.current = this.open();
    void generation.sql.end({ timeout: REPLACED_GRACE_S });
  }

  private driverOptions() {
    return {
      connect_timeout: CONNECT_TIMEOUT_S,
      // A connection that closes by itself would count as lost.
      max_lifetime: null,
      // A connection that is lost while the driver fetches types rejects a promise that nobody holds.
      fetch_types: false,
      types: { textArray },
      onnotice: () => {},
      connection: { application_name: this.options.applicationName },
      transform: { column: { from: postgres.toCamel } },
    } as const;
  }
}

/** `text[]`, which the driver would learn by fetching types; Drizzle reads the literal by itself. */
const textArray = {
  to: 1009,
  from: [1009],
  serialize: (value: unknown) => (Array.isArray(value) ? `{${value.map(quoteItem).join(",")}}` : value),
  parse: (literal: string) => literal,
};

function quoteItem(item: unknown): string {
  return item === null ? "null" : `"${String(item).replace(/["\\]/g, "\\$&")}"`;
}

/** A client that is another one at every use, with some methods of its own. */
function forward<Client extends postgres.Sql>(
  target: () => postgres.Sql,
  own: (key: PropertyKey) => unknown,
): Client {
  const client = new Proxy(() => undefined, {
    apply: (_target, _self, args) => Reflect.apply(target(), undefined, args),
    get: (_target, key) => own(key) ?? Reflect.get(target(), key),
  });
  return client as unknown as Client;
}
