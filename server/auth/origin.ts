import type { Config } from "../config.js";

const loopbackHosts: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1", "[::1]"]);

/**
 * Origins whose pages may use a session cookie: that of `baseUrl`, the configured ones, and both loopback names of
 * a server that listens on loopback and was not given a BASE_URL.
 */
export function trustedOrigins(
  config: Pick<Config, "baseUrl" | "host" | "trustedOrigins">,
  baseUrl: string,
): string[] {
  const { origin, port } = new URL(baseUrl);
  const isLocal = config.baseUrl === null && loopbackHosts.has(config.host);
  const local = isLocal ? [`http://localhost:${port}`, `http://127.0.0.1:${port}`] : [];
  const configured = config.trustedOrigins.map((url) => new URL(url).origin);
  return [...new Set([origin, ...configured, ...local].map((url) => new URL(url).origin))];
}
