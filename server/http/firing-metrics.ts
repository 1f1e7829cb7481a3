import { Histogram, type Registry } from "prom-client";

/** Counts the runs that schedules start and measures how long after its instant each came, jitter included. */
export function measureFirings(
  registry: Registry,
): (firing: { readonly scheduledFor: Date; readonly at: Date }) => void {
  const lateness = new Histogram({
    name: "schedule_firing_lateness_seconds",
    help: "Time from an instant of a schedule to the run that it started, in seconds.",
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 3600],
    registers: [registry],
  });
  return ({ scheduledFor, at }) =>
    lateness.observe(Math.max(0, at.getTime() - scheduledFor.getTime()) / 1000);
}
