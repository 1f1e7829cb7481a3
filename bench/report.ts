import type { DatabaseCost } from "./database-costs.js";
import type { LoadResult } from "./load.js";
import type { RequestRound } from "./request-rounds.js";
import type { RunRound } from "./run-rounds.js";
import type { BurstRound } from "./schedule-burst.js";
import { median } from "./statistics.js";

/** Requests beside their floors: medians over the rounds, the ratio taken within each round. */
export function requestTable(rounds: ReadonlyMap<string, readonly RequestRound[]>): string {
  const rows = [...rounds].map(([name, pairs]) => {
    const of = (pick: (pair: RequestRound) => number) => median(pairs.map(pick));
    const cells = (side: "subject" | "floor", key: keyof LoadResult) => of((pair) => pair[side][key]);
    return [
      name,
      whole(cells("subject", "perSecond")),
      fine(cells("subject", "p50")),
      fine(cells("subject", "p99")),
      whole(cells("floor", "perSecond")),
      fine(cells("floor", "p50")),
      fine(cells("floor", "p99")),
      of(({ subject, floor }) => subject.perSecond / floor.perSecond).toFixed(2),
    ];
  });
  return table(
    ["operation", "requests/s", "p50 ms", "p99 ms", "floor/s", "p50 ms", "p99 ms", "of the floor"],
    rows,
  );
}

/** Completed runs per second: medians over the rounds, with the ratio of Flowkeep to each within the round. */
export function runTable(rounds: readonly RunRound[]): string {
  const row = (name: string, key: keyof RunRound) => [
    name,
    whole(median(rounds.map((round) => round[key]))),
    median(rounds.map((round) => round.flowkeep / round[key])).toFixed(2),
  ];
  return table(
    [`completed runs, ${rounds.length} rounds`, "runs/s", "Flowkeep's share"],
    [
      row("Flowkeep: trigger and three transforms", "flowkeep"),
      row("openworkflow alone, one step", "oneStep"),
      row("openworkflow alone, four steps", "fourSteps"),
    ],
  );
}

/** Milliseconds after the instant of a burst: medians over the rounds. */
export function burstTable(rounds: readonly BurstRound[]): string {
  const of = (key: keyof BurstRound) => whole(median(rounds.map((round) => round[key])));
  return table(
    [`10,000 schedules due at one instant, ${rounds.length} rounds`, "ms"],
    [
      ["half of the runs written", of("half")],
      ["90 % of them", of("most")],
      ["all", of("all")],
    ],
  );
}

/** Statements and round trips of one request. */
export function costTable(costs: readonly DatabaseCost[]): string {
  return table(
    ["request", "statements", "round trips"],
    costs.map(({ name, statements, roundTrips }) => [name, whole(statements), whole(roundTrips)]),
  );
}

const whole = (value: number) => Math.round(value).toLocaleString("en");
const fine = (value: number) => value.toFixed(1);

/** Markdown; all columns but the first are numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, index) => (index === 0 ? "---" : "--:"));
  return `${[head, rule, ...rows].map(line).join("\n")}\n`;
}
