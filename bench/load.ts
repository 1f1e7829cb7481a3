import autocannon, { type Request } from "autocannon";
import { quantile } from "./statistics.js";

/** Requests in flight at any time, in every measure. */
export const CONNECTIONS = 10;
/** Looks at whether a round is over, in milliseconds. */
const SAMPLE_MS = 50;

/** What one round of requests came to; latencies in milliseconds. */
export interface LoadResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** How long a round goes on: until either bound is reached. */
export interface LoadBounds {
  readonly seconds: number;
  readonly requests: number;
}

/**
 * Sends requests over as many keep-alive connections as there are plans; each waits for its answer before it sends
 * the next request of its plan, over and over.
 * @throws Error when an answer is missing or has another status.
 */
export async function sendLoad(
  url: string,
  plans: readonly (readonly Request[])[],
  status: number,
  { seconds, requests }: LoadBounds,
): Promise<LoadResult> {
  const latencies: number[] = [];
  const unused = [...plans];
  const startedAt = performance.now();
  let endedAt = startedAt;
  const instance = autocannon({
    url,
    connections: plans.length,
    duration: seconds,
    maxOverallRequests: requests,
    sampleInt: SAMPLE_MS,
    setupClient: (client) => client.setRequests(unused.shift() ?? []),
  });
  instance.on("response", (_client: unknown, _status: number, _bytes: number, milliseconds: number) => {
    latencies.push(milliseconds);
    endedAt = performance.now();
  });
  const { errors, timeouts, statusCodeStats } = await instance;
  const isClean = Object.keys(statusCodeStats).join() === String(status) && errors + timeouts === 0;
  if (!isClean) {
    throw new Error(`${url}: ${errors} errors, ${timeouts} timeouts, ${JSON.stringify(statusCodeStats)}.`);
  }
  return {
    perSecond: (latencies.length / (endedAt - startedAt)) * 1_000,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  };
}
