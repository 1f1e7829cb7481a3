import { z } from "zod";

const Name = z.string().min(1).max(200);

export const SendSignalInput = z.object({
  name: Name.meta({
    description: "What the waiting block has as eventName.",
    example: "order.paid",
  }),
  correlationKey: Name.optional().meta({
    description: "Reaches only waits with the same correlationKey; without one, only waits without one.",
    example: "order-1042",
  }),
  payload: z.json().optional().meta({
    description: "Any JSON value, 256 KiB at most; the block's output data. Null when absent.",
  }),
  ttlSeconds: z.int().min(1).max(2_592_000).default(86_400).meta({
    description: "How long it is kept for a wait to come when nobody waits now; 30 days at most.",
  }),
  idempotencyKey: z.string().min(1).max(255).optional().meta({
    description:
      "Same key, same signal: sent once, same answer. It holds for the signal's ttlSeconds, a day at least. Over REST also the Idempotency-Key header.",
  }),
});

export const SentSignal = z
  .object({
    id: z.uuid(),
    delivered: z.array(z.uuid()).meta({ description: "Runs that waited for it and go on." }),
    buffered: z.boolean().meta({ description: "Nobody waited: the first wait that comes in time takes it." }),
  })
  .meta({ id: "SentSignal" });
