import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { describe, expect, it } from "vitest";
import { type CheckResult, createReadiness } from "../../server/http/health.js";
import { useScratchDoors } from "./scratch-requests.js";

const { url } = useScratchDoors();

describe("GET /health", () => {
  it("answers exactly status and version", async () => {
    const response = await fetch(`${url()}/health`);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('{"status":"ok","version":"test"}');
  });
});

describe("GET /ready", () => {
  it("answers with the result of every check", async () => {
    const response = await fetch(`${url()}/ready`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      status: "ready",
      checks: { database: "ok", migrations: "ok", worker: "off" },
    });
  });
});

describe("GET /ready of a process in trouble", () => {
  const never = () => new Promise<CheckResult>(() => {});
  const lost = async (): Promise<CheckResult> => {
    throw new Error("connection lost");
  };
  const pending = async (): Promise<CheckResult> => "failed";

  it("answers 503 when a check fails, throws or does not come back", async () => {
    const app = express().use(createReadiness({ database: lost, migrations: pending, worker: never }));
    const server = createServer(app);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: "not_ready",
      checks: { database: "failed", migrations: "failed", worker: "failed" },
    });
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  });
});

describe("GET /metrics", () => {
  it("counts requests by method, route pattern and status", async () => {
    await fetch(`${url()}/api/things/1`, { headers: { "x-api-key": "full" } });
    await fetch(`${url()}/trpc/open`);
    await fetch(`${url()}/trpc/made-up`);
    const text = await (await fetch(`${url()}/metrics`)).text();
    expect(text).toContain(
      'http_request_duration_seconds_count{method="GET",route="/api/things/{id}",status="200"} 1',
    );
    expect(text).toContain('route="/trpc/open",status="200"');
    expect(text).toContain('route="/trpc (unknown)",status="404"');
    expect(text).toContain("process_cpu_seconds_total");
  });
});

describe("headers", () => {
  it("allow scripts of this server only and do not tell what runs it", async () => {
    const { headers } = await fetch(`${url()}/docs`);
    expect(headers.get("content-security-policy")).toContain("script-src 'self';");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-powered-by")).toBeNull();
    expect(headers.get("strict-transport-security")).toBeNull();
  });

  it("let pages of trusted origins read answers with credentials, and others not", async () => {
    const trusted = await fetch(`${url()}/api/open`, { headers: { origin: "http://trusted.test" } });
    expect(trusted.headers.get("access-control-allow-origin")).toBe("http://trusted.test");
    expect(trusted.headers.get("access-control-allow-credentials")).toBe("true");
    const other = await fetch(`${url()}/api/open`, { headers: { origin: "http://other.test" } });
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
    expect(other.headers.get("vary")).toContain("Origin");
  });

  it("answer the preflight of a trusted origin on every door", async () => {
    for (const path of ["/api/things/1", "/trpc/create", "/api/auth/sign-in/email"]) {
      const response = await fetch(url() + path, {
        method: "OPTIONS",
        headers: {
          origin: "http://trusted.test",
          "access-control-request-method": "PUT",
          "access-control-request-headers": "content-type,if-match",
        },
      });
      expect(response.status).toBe(204);
      expect(response.headers.get("access-control-allow-methods")).toContain("PUT");
      expect(response.headers.get("access-control-allow-headers")).toBe("content-type,if-match");
    }
  });
});

describe("/docs", () => {
  it("is where a person who opens the bare address is led", async () => {
    const response = await fetch(url(), { redirect: "manual" });
    expect(response.status).toBe(302);
    expect(response.headers.get("location")).toBe("/docs");
  });

  it("is Swagger UI from this server's own files", async () => {
    const page = await (await fetch(`${url()}/docs`)).text();
    expect(page).not.toMatch(/https?:\/\//);
    const assets = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => String(match[1]));
    expect(assets).toHaveLength(4);
    for (const asset of assets) {
      const response = await fetch(url() + asset);
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
  });
});

describe("GET /openapi.json", () => {
  it("is the document of the router", async () => {
    const response = await fetch(`${url()}/openapi.json`);
    expect(response.headers.get("content-type")).toContain("application/json");
    const document = (await response.json()) as { openapi: string; paths: object };
    expect(document.openapi).toBe("3.1.0");
    expect(document.paths).toHaveProperty(["/api/things/{id}"]);
  });
});
