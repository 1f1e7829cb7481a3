import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { guardedAgent } from "../../server/connectors/builtin/guarded-agent.js";
import { httpConnector } from "../../server/connectors/builtin/http.js";
import type { BlockError, JsonObject } from "../../server/connectors/define-connector.js";
import { blockFailure, runBlock } from "./block-context.js";

const servers: Server[] = [];

/** Ends every server of the test that has just run. */
export async function closeServers(): Promise<void> {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

/** A listening server and its origin. */
export interface Served {
  readonly origin: string;
  readonly server: Server;
}

/** Starts a server on a free port; `closeServers` ends it. */
export async function serve(listener: RequestListener, host = "127.0.0.1"): Promise<Served> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { origin: `http://${host}:${port}`, server };
}

/** The http block without a limit on addresses. */
export const anywhere = httpConnector(guardedAgent(() => true));

/** Runs the block once, as the engine does, and gives its output. */
export function send(params: JsonObject, connector = anywhere, signal?: AbortSignal): Promise<JsonObject> {
  return runBlock(connector, params, signal === undefined ? {} : { signal });
}

/** Runs the block once and gives the `BlockError` it must end with. */
export function failure(params: JsonObject, connector = anywhere, signal?: AbortSignal): Promise<BlockError> {
  return blockFailure(connector, params, signal === undefined ? {} : { signal });
}

/** A server that answers with the request it saw. */
export const echo: RequestListener = async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { method, url, headers } = request;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
};

/** The body of an answer of `echo`. */
export interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
