import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What passed from the clients to the database so far. */
export interface Traffic {
  /** Statements executed. */
  readonly statements: number;
  /** Times that a client stopped to wait for an answer. */
  readonly roundTrips: number;
}

/** A way to a database that counts. */
export interface CountingProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** Since it was opened. */
  traffic(): Traffic;
  close(): Promise<void>;
}

/** Opens a way to the server of the URL that reads along what clients send. */
export async function openCountingProxy(databaseUrl: string): Promise<CountingProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let statements = 0;
  let roundTrips = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
    let asks = false;
    const read = createMessageReader((type) => {
      if (type === "E" || type === "Q") statements += 1;
      if (type === "S" || type === "H" || type === "Q") asks = true;
    });
    client.on("data", (chunk: Buffer) => {
      asks = false;
      read(chunk);
      // What travels together waits once.
      if (asks) roundTrips += 1;
    });
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    traffic: () => ({ statements, roundTrips }),
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

/**
 * Splits what a client sends into messages of PostgreSQL's protocol 3 and tells the type letter of each: `E` Execute,
 * `Q` Query, `S` Sync, `H` Flush. The first message has no letter.
 */
function createMessageReader(onMessage: (type: string) => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0);
  let letterBytes = 0;
  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= letterBytes + 4) {
      const length = letterBytes + pending.readInt32BE(letterBytes);
      if (pending.length < length) return;
      if (letterBytes === 1) onMessage(String.fromCharCode(pending[0] ?? 0));
      pending = pending.subarray(length);
      letterBytes = 1;
    }
  };
}
