/**
 * What became of a delivery. `accepted` started a run; `duplicate` has the key of one that did; `filtered` was not
 * for the workflow; `rejected` was not verified or could not be read; `failed` was in order, but no run could start.
 */
export const deliveryVerdicts = ["accepted", "duplicate", "filtered", "rejected", "failed"] as const;
export type DeliveryVerdict = (typeof deliveryVerdicts)[number];

/** Whether deliveries of a verdict can be delivered again; they are kept whole for it. */
export function isRepeatable(verdict: DeliveryVerdict): boolean {
  return verdict !== "rejected" && verdict !== "duplicate";
}
