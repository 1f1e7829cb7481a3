import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** Where a client is: what it has just asked for. */
export type Stage =
  | "startup"
  | "password"
  | "types"
  | "begin"
  | "limit"
  | "statement"
  | "commit"
  | "rollback";

/** What a server does at a stage. */
export type Deed = (socket: Socket) => void;

/** What it does instead of what PostgreSQL does. */
export type Deeds = Partial<Record<Stage, Deed>>;

/** A server that speaks as much of PostgreSQL's protocol as one query needs, and misbehaves where it is told to. */
export interface StandIn {
  /** Without TLS, for a user with a password. */
  readonly url: string;
  /** Every stage that a client came to, in order. */
  readonly seen: Stage[];
  /** What clients sent as passwords. */
  readonly passwords: string[];
  /** How many connections there ever were, and how many there are. */
  readonly connections: { all: number; open: number };
  close(): Promise<void>;
}

/** One message: its type, then its length and the body; https://www.postgresql.org/docs/current/protocol-message-formats.html. */
export function message(type: string, body: Buffer | string = ""): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

export const int16 = (value: number) => Buffer.from([value >> 8, value & 255]);
export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** An error as PostgreSQL says it. */
export const refusal = (code: string, severity = "ERROR") =>
  message("E", `S${severity}\0V${severity}\0C${code}\0Mrefused by the stand-in\0\0`);

/** Says that there will be one column of the type, then that the rows follow. */
export const oneColumn = (type: number) =>
  Buffer.concat([
    message("1"),
    message(
      "T",
      Buffer.concat([
        int16(1),
        Buffer.from("x\0"),
        int32(0),
        int16(0),
        int32(type),
        int16(-1),
        int32(-1),
        int16(0),
      ]),
    ),
    message("2"),
  ]);

/** A row of one text. */
export const row = (text: string | Buffer) =>
  message("D", Buffer.concat([int16(1), int32(Buffer.byteLength(text)), Buffer.from(text)]));

export const isReady = message("Z", "I");
const isInTransaction = message("Z", "T");
const done = (command: string) => message("C", `${command}\0`);

const usual: Record<Stage, Deed> = {
  startup: (socket) => socket.write(Buffer.concat([message("R", int32(0)), isReady])),
  password: (socket) => socket.destroy(),
  types: (socket) =>
    socket.write(
      Buffer.concat([message("1"), message("T", int16(0)), message("2"), done("SELECT 0"), isReady]),
    ),
  begin: (socket) => socket.write(Buffer.concat([done("BEGIN"), isInTransaction])),
  limit: (socket) => socket.write(Buffer.concat([done("SET"), isInTransaction])),
  statement: (socket) =>
    socket.write(Buffer.concat([message("1"), message("n"), message("2"), done("INSERT 0 1")])),
  commit: (socket) => socket.write(Buffer.concat([done("COMMIT"), isReady])),
  rollback: (socket) => socket.write(Buffer.concat([done("ROLLBACK"), isReady])),
};

const stages: [RegExp, Stage][] = [
  [/pg_catalog\.pg_type/, "types"],
  [/^begin/, "begin"],
  [/^set local/, "limit"],
  [/^commit/, "commit"],
  [/^rollback/, "rollback"],
];

function stageOf(type: string, text: string): Stage | null {
  if (type === "p") return "password";
  if (type !== "P" && type !== "Q") return null;
  const query = text.replace(/^\0/, "").trim();
  return stages.find(([pattern]) => pattern.test(query))?.[1] ?? "statement";
}

/** Takes every whole message that arrives, by type and text. */
function readMessages(socket: Socket, take: (type: string, text: string) => void): void {
  let waiting = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.length > 4 && waiting.length > waiting.readInt32BE(1)) {
      const length = waiting.readInt32BE(1) + 1;
      const [type, text] = [waiting.toString("latin1", 0, 1), waiting.toString("utf8", 5, length)];
      waiting = waiting.subarray(length);
      take(type, text);
    }
  });
}

/** Starts one on a free port; at each stage it does the given deed, or else what PostgreSQL does. */
export async function startStandIn(deeds: Deeds): Promise<StandIn> {
  const seen: Stage[] = [];
  const passwords: string[] = [];
  const connections = { all: 0, open: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    connections.all += 1;
    connections.open += 1;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      connections.open -= 1;
      sockets.delete(socket);
    });
    const reach = (stage: Stage) => {
      seen.push(stage);
      (deeds[stage] ?? usual[stage])(socket);
    };
    socket.once("data", () => {
      reach("startup");
      let isAsked = false;
      readMessages(socket, (type, text) => {
        // What ends a statement of several messages.
        if (type === "S" && isAsked) socket.write(isInTransaction);
        if (type === "p") passwords.push(text);
        const stage = stageOf(type, text);
        if (stage === null) return;
        isAsked = stage === "statement";
        reach(stage);
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `postgres://reader:word@127.0.0.1:${port}/data?sslmode=disable`,
    seen,
    passwords,
    connections,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
