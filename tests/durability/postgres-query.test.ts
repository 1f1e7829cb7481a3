import { spawn } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { describe, it } from "vitest";
import { waitFor } from "../support/client.js";
import { int32, message, startStandIn } from "../support/postgres-stand-in.js";
import { childrenOf, killProcess, ticksOf } from "../support/processes.js";

/** Asks a database in a process of its own, as a server does. */
const programFor = (connectionUrl: string) => `
import { postgresQueryConnector } from ${JSON.stringify(path.resolve("server/connectors/builtin/postgres-query.ts"))};
const connector = postgresQueryConnector({ allowsPrivate: true });
const params = connector.params.parse({ connectionUrl: ${JSON.stringify(connectionUrl)}, query: "select 1" });
void connector.run(params, { organizationId: "organization", signal: new AbortController().signal });
`;

describe.runIf(os.platform() === "linux")("a query whose sign-in takes minutes to compute", () => {
  it("ends soon after the server was killed", async () => {
    const standIn = await startStandIn({
      startup: (socket) =>
        socket.write(message("R", Buffer.concat([int32(10), Buffer.from("SCRAM-SHA-256\0\0")]))),
      password: (socket) =>
        socket.write(message("R", Buffer.concat([int32(11), Buffer.from("r=a,s=YWJj,i=2147483647")]))),
    });
    const program = programFor(standIn.url);
    const server = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], {
      stdio: "ignore",
    });
    let query = 0;
    try {
      await waitFor(
        async () => {
          const isAsked = standIn.seen.includes("password");
          query = childrenOf(Number(server.pid)).find((pid) => isAsked && (ticksOf(pid) ?? 0) > 150) ?? 0;
          return query;
        },
        (pid) => pid !== 0,
      );
    } finally {
      await killProcess(server);
    }
    await waitFor(
      async () => ticksOf(query),
      (ticks) => ticks === null,
    );
    await standIn.close();
  }, 60_000);
});
