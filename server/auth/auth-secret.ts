import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";

/** The secret kept in the data folder; made on the first start, readable by its owner only. */
export async function keptAuthSecret(dataDir: string): Promise<string> {
  const file = path.join(dataDir, "auth-secret");
  const kept = await readFile(file, "utf8").catch(() => null);
  if (kept !== null) return kept.trim();
  await mkdir(dataDir, { recursive: true });
  const scratch = `${file}.${process.pid}`;
  await writeFile(scratch, randomBytes(32).toString("base64url"), { mode: 0o600 });
  await rename(scratch, file);
  return (await readFile(file, "utf8")).trim();
}
