import { z } from "zod";
import { BlockError, defineConnector, hidden } from "../../server/connectors/index.ts";

const addNumbers = defineConnector({
  type: "add_numbers",
  description: "Adds two numbers.",
  effect: "pure",
  params: z.object({
    left: z.number(),
    right: z.number().default(1),
    token: hidden(z.string().default("t0k3n")),
  }),
  outputs: z.object({ sum: z.number(), key: z.string(), tokenLength: z.number() }),
  run: ({ left, right, token }, { idempotencyKey }) => ({
    sum: left + right,
    key: idempotencyKey,
    tokenLength: token.length,
  }),
});

const misbehave = defineConnector({
  type: "misbehave",
  description: "Fails in the way it is asked to.",
  params: z.object({ how: z.string() }),
  outputs: z.object({ fine: z.boolean() }),
  retry: { maxAttempts: 2, initialMs: 1 },
  run: async ({ how }) => {
    if (how === "throw") throw new Error("It broke.");
    if (how === "refuse") throw new BlockError("no_way", "how: this is refused.");
    if (how === "hang") await new Promise(() => {});
    if (how === "forget") return undefined;
    return how === "lie" ? { fine: "no boolean" } : { fine: true };
  },
});

/** Two blocks as a module of `CONNECTORS` gives them: one that is fine and one that is not. */
export default [addNumbers, misbehave];
