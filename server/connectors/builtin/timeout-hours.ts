import { z } from "zod";

const HOUR_MS = 3_600_000;

/** Hours a block waits at most: 365 days. */
export const TimeoutHours = z.number().max(8_760);

/** Whole milliseconds of the hours, rounded up; null when there is no limit. */
export function toTimeoutMs(hours: number | undefined): number | null {
  return hours === undefined ? null : Math.ceil(hours * HOUR_MS);
}
