import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { pino } from "pino";
import { expect, it } from "vitest";
import { createAuth } from "../../server/auth/auth.js";
import { createAuthRoutes } from "../../server/auth/auth-routes.js";
import { createIdentity } from "../../server/auth/identity.js";
import { readConfig } from "../../server/config.js";
import { type Database, openDatabase } from "../../server/db/client.js";
import { createTestDatabase } from "../support/database.js";
import { signUp } from "../support/sign-up.js";

const secret = "0f9c1b7e5a3d42868d1f7c2b9e4a6d035b8c";

/** Serves the auth routes alone, as a deployment with this database and public origin would. */
async function withAuth(
  databaseUrl: string,
  baseUrl: string,
  test: (url: string, database: Database, log: readonly string[]) => Promise<void>,
): Promise<void> {
  const database = openDatabase(databaseUrl, { max: 2, applicationName: "flowkeep test" });
  const log: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void log.push(line) });
  const config = readConfig({ BASE_URL: baseUrl });
  const auth = createAuth({ database, config, secret, baseUrl, logger });
  const server = createServer(
    express().use("/api/auth", createAuthRoutes({ auth, sql: database.sql, config, baseUrl, logger })),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await test(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, database, log);
  } finally {
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
    await database.close();
  }
}

it("behind https the session cookie is secure and only its __Secure- name counts", async () => {
  const { url, drop } = await createTestDatabase();
  const baseUrl = "https://flow.example";
  await withAuth(url, baseUrl, async (serverUrl, database) => {
    const { cookie, userId } = await signUp(serverUrl);
    expect(cookie).toMatch(/^__Secure-better-auth\.session_token=/);
    const logger = pino({ level: "silent" });
    const identity = createIdentity({ database, secret, baseUrl, trustedOrigins: [baseUrl], logger });
    expect((await identity.authenticate({ cookie, origin: baseUrl })).id).toBe(userId);
    const renamed = cookie.replace("__Secure-", "");
    await expect(identity.authenticate({ cookie: renamed })).rejects.toMatchObject({
      errorCode: "unauthorized",
    });
    await identity.close();
  });
  await drop();
});

it("without a database every account request is 503, and the log holds no secret", async () => {
  const body = JSON.stringify({
    name: "Ada",
    email: "ada@example.com",
    password: "correct horse battery staple",
  });
  await withAuth(
    "postgres://nobody:hidden@127.0.0.1:1/none",
    "http://localhost:3000",
    async (url, _database, log) => {
      const key = JSON.stringify({ key: `fk_${"a".repeat(64)}` });
      const requests: [path: string, body: string | null][] = [
        ["/sign-in/email", body],
        ["/sign-up/email", body],
        ["/api-key/verify", key],
        ["/organization/list", null],
        ["/get-session", null],
      ];
      for (const [path, text] of requests) {
        const authorization = `Bearer ${"a".repeat(32)}`;
        const response = await fetch(`${url}/api/auth${path}`, {
          headers: { authorization, "content-type": "application/json" },
          ...(text === null ? {} : { method: "POST", body: text }),
        });
        expect(response.status, path).toBe(503);
        expect(await response.json()).toEqual({ code: "SERVICE_UNAVAILABLE", message: expect.any(String) });
      }
      expect(log.length).toBeGreaterThan(0);
      expect(log.join("\n")).not.toMatch(/horse|hidden|ada@example|aaaaaaaa/);
    },
  );
});
