import { fastClock, openScheduling } from "./scheduling.js";

/** A scheduler process on the database of its first argument, with a fast clock, until it is killed. */
async function schedule(url: string, baseMs: number, speed: number): Promise<void> {
  const scheduling = openScheduling(url, fastClock(baseMs, speed), 4);
  await scheduling.start();
  process.stdout.write("ready\n");
}

const [, , url = "", baseMs, speed] = process.argv;
void schedule(url, Number(baseMs), Number(speed));
