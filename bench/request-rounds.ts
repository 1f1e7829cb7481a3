import { newClient, send } from "../tests/support/client.js";
import { CONNECTIONS, type LoadBounds, type LoadResult, sendLoad } from "./load.js";
import { floorOperations, type MeasuredOperation, measuredDocument } from "./operations.js";
import type { Stage } from "./stage.js";

/** One round of an operation with the round of its floor that ran just before. */
export interface RequestRound {
  readonly subject: LoadResult;
  readonly floor: LoadResult;
}

/** Starts the server and the bare server; the returned function measures a round of an operation and its floor. */
export async function prepareRequests(
  stage: Stage,
): Promise<(operation: MeasuredOperation, bounds: LoadBounds) => Promise<RequestRound>> {
  const { url } = await stage.startServer(await stage.createDatabase("requests", true), { ROLE: "api" });
  const { url: floorUrl } = await stage.startFloorServer(await stage.createDatabase("floor", false));
  const client = await newClient(url);
  const { body } = await send(floorUrl, null, "POST", "/documents", measuredDocument);
  const floors = floorOperations(body.id);
  return async ({ floor, status, prepare }, bounds) => {
    const { request, status: floorStatus } = floors[floor];
    const floorPlans = Array.from({ length: CONNECTIONS }, () => [request]);
    const plans = await Promise.all(floorPlans.map(() => prepare(client)));
    return {
      floor: await sendLoad(floorUrl, floorPlans, floorStatus, bounds),
      subject: await sendLoad(url, plans, status, bounds),
    };
  };
}
