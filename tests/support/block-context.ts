import { expect } from "vitest";
import {
  type BlockContext,
  BlockError,
  type ComputeConnector,
  type JsonObject,
} from "../../server/connectors/define-connector.js";

const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** The context of a first attempt. */
export function blockContext(overrides: Partial<BlockContext> = {}): BlockContext {
  return {
    organizationId: "organization",
    runId: "run",
    blockId: "call",
    attempt: 1,
    idempotencyKey: "run:call",
    signal: new AbortController().signal,
    log: silent,
    evaluate: async () => null,
    ...overrides,
  };
}

/** Runs a block once, as the engine does, and gives its output. */
export async function runBlock(
  connector: ComputeConnector,
  params: JsonObject,
  overrides: Partial<BlockContext> = {},
): Promise<JsonObject> {
  const parsed = connector.params.parse(params);
  return connector.outputs.parse(await connector.run(parsed, blockContext(overrides)));
}

/** Runs a block once and gives the `BlockError` it must end with. */
export async function blockFailure(
  connector: ComputeConnector,
  params: JsonObject,
  overrides: Partial<BlockContext> = {},
): Promise<BlockError> {
  const error = await runBlock(connector, params, overrides).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(BlockError);
  return error as BlockError;
}
