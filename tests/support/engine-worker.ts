import { openEngineStage } from "./engine-stage.js";

/** A worker process on the database of its first argument, until it is killed or standard input ends. */
async function work(url: string): Promise<void> {
  const stage = await openEngineStage(url);
  const engine = stage.createEngine();
  await engine.start();
  process.stdout.write("ready\n");
  process.stdin.resume().once("end", async () => {
    await engine.stop();
    await stage.close();
    process.exit(0);
  });
}

void work(process.argv[2] ?? "");
