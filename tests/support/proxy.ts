import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a database that a test can cut, as an outage does. */
export interface DatabaseProxy {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** How many bytes went either way so far. */
  countBytes(): number;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Lets connections through again. */
  mend(): Promise<void>;
  /** The next statement that carries the text is done, but the connection ends before its answer arrives. */
  loseAnswerTo(text: string): void;
}

/** Opens a way to the server of the URL; `cut` closes it. */
export async function openProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let unanswered: string | null = null;
  let bytes = 0;
  const keep = (socket: Socket, peer: Socket) => {
    sockets.add(socket);
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      peer.destroy();
    });
  };
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    keep(client, upstream);
    keep(upstream, client);
    client.pipe(upstream).pipe(client);
    client.on("data", (chunk: Buffer) => {
      if (unanswered === null || !chunk.includes(unanswered)) return;
      unanswered = null;
      upstream
        .unpipe(client)
        .once("data", () => client.destroy())
        .resume();
    });
  });
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  return {
    url: url.href,
    countBytes: () => bytes,
    mend: () => listen(port),
    loseAnswerTo(text) {
      unanswered = text;
    },
    cut: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
