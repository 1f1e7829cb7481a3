import * as schemas from "./schemas/signal.js";
import { procedure, router } from "./trpc.js";

export const signalsRouter = router({
  send: procedure
    .meta({
      permission: "signals:write",
      errors: ["idempotency_key_reused"],
      openapi: {
        method: "POST",
        path: "/signals",
        operationId: "sendSignal",
        summary: "Send a signal",
        description:
          "Ends every wait_for_event block of your organization that waits for this name and correlation key. When none does, the signal is kept and ends the first wait that comes. A name with a correlation key and the same name without one are different addresses.",
        tags: ["signals"],
      },
      rest: { status: 202, readsIdempotencyKey: true },
      examples: {
        body: { name: "order.paid", correlationKey: "order-1042", payload: { amount: 99.5 } },
        output: {
          id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b50",
          delivered: ["0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e"],
          buffered: false,
        },
      },
    })
    .input(schemas.SendSignalInput)
    .output(schemas.SentSignal)
    .mutation(({ ctx, input }) => ctx.services.signals.send(ctx.principal, input)),
});
