import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Starts a module of this program in a Node process of its own: with a heap of `maxHeapMb`, without environment and
 * output, and with a channel for messages of JSON. `module` is its address without the extension. A process and not a
 * thread: when the memory of a thread ends inside of native code, it takes the whole server with it.
 */
export function startProcess(module: URL, maxHeapMb: number): ChildProcess {
  // Beside this file lies the program as it was built or, when nothing is built, its source, which tsx loads.
  const extension = path.extname(fileURLToPath(import.meta.url));
  const child = fork(new URL(`${module.href}${extension}`), {
    env: {},
    execArgv: [
      ...(extension === ".ts" ? ["--import", "tsx"] : []),
      `--max-old-space-size=${maxHeapMb}`,
      "--disable-proto=delete",
      "--disallow-code-generation-from-strings",
    ],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  // Whatever goes wrong with a process, its end tells.
  child.on("error", () => undefined);
  return child;
}

/**
 * Resolves once the process is gone and all it said is heard, with the signal that ended it or null. Ask as soon as it
 * is started.
 */
export async function endOf(child: ChildProcess): Promise<NodeJS.Signals | null> {
  try {
    const [[, signal]] = await Promise.all([once(child, "exit"), once(child, "disconnect")]);
    return signal;
  } catch {
    // It could not be started.
    return null;
  }
}
