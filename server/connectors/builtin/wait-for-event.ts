import { z } from "zod";
import type { SignalService } from "../../signals/service.js";
import type { AwaitConnector } from "../define-connector.js";
import { TimeoutHours, toTimeoutMs } from "./timeout-hours.js";

const Params = z.object({
  eventName: z.string().min(1).max(200).meta({
    title: "Event",
    description: "Name of the signal: POST /api/signals with this name ends the wait.",
  }),
  correlationKey: z
    .union([z.string().min(1).max(200), z.number()])
    .optional()
    .meta({
      title: "Correlation key",
      description:
        "Only a signal with the same correlationKey ends the wait, such as an order number. Without one, only a signal without one does.",
    }),
  timeoutHours: TimeoutHours.min(0).optional().meta({
    title: "Timeout (hours)",
    description:
      "How long to wait at most; fractions are fine, and 0 only looks for a signal that was sent before. Absent: as long as it takes, one year at most.",
  }),
});

/**
 * Waits for a signal to the organization. One that was sent before the wait began and that nobody has taken counts;
 * one that comes after the timeout is kept for other waits.
 */
export function waitForEvent(signals: Pick<SignalService, "openWait" | "closeWait">): AwaitConnector {
  return {
    kind: "wait",
    type: "wait_for_event",
    name: "Wait for an event",
    description: "Waits for a signal that a program sends to POST /api/signals, and passes its payload on.",
    category: "events",
    params: Params,
    outputs: z.object({
      data: z.unknown().describe("Payload of the signal; null after a timeout."),
      timedOut: z.boolean().describe("Whether no signal came in time."),
    }),
    examples: [
      {
        title: "Wait two days for the payment of an order",
        params: { eventName: "order.paid", correlationKey: "{{trigger.orderId}}", timeoutHours: 48 },
      },
    ],
    exits: {
      of: () => ["received", "timed_out"],
      taken: ({ timedOut }) => [timedOut === true ? "timed_out" : "received"],
    },
    open: (params, context) => {
      const { eventName, correlationKey, timeoutHours } = params as z.output<typeof Params>;
      return signals.openWait(context, {
        name: eventName,
        correlationKey: correlationKey === undefined ? "" : String(correlationKey),
        timeoutMs: toTimeoutMs(timeoutHours),
      });
    },
    close: async (_params, context) => {
      const { data, timedOut } = await signals.closeWait(context);
      return { data, timedOut };
    },
  };
}
