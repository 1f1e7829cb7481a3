import type { RequestHandler } from "express";

/** `off`: this process has no such part. */
export type CheckResult = "ok" | "failed" | "off";

/** What must work before requests are sent to this process; a check that throws or takes two seconds has failed. */
export interface ReadinessChecks {
  readonly database: () => Promise<CheckResult>;
  readonly migrations: () => Promise<CheckResult>;
  readonly worker: () => Promise<CheckResult>;
}

/** Answers 200 as long as the process runs; touches nothing else. */
export function createHealth(versionLabel: string): RequestHandler {
  return (_req, res) => {
    res.json({ status: "ok", version: versionLabel });
  };
}

/** Answers 200 when no check has failed, else 503, with the result of each. */
export function createReadiness(checks: ReadinessChecks): RequestHandler {
  return async (_req, res) => {
    const [database, migrations, worker] = await Promise.all([
      settle(checks.database),
      settle(checks.migrations),
      settle(checks.worker),
    ]);
    const results = { database, migrations, worker };
    const isReady = !Object.values(results).includes("failed");
    res.status(isReady ? 200 : 503).json({ status: isReady ? "ready" : "not_ready", checks: results });
  };
}

const CHECK_TIMEOUT_MS = 2_000;

async function settle(check: () => Promise<CheckResult>): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<CheckResult>((resolve) => {
    timer = setTimeout(resolve, CHECK_TIMEOUT_MS, "failed");
  });
  try {
    return await Promise.race([check(), tooLate]);
  } catch {
    return "failed";
  } finally {
    clearTimeout(timer);
  }
}
