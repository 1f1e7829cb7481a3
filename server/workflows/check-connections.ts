import type { BlockTypes } from "./block-types.js";
import { type Block, type Connection, isCaught } from "./document.js";
import { excerpt, excerptNames } from "./excerpt.js";
import { readExpression } from "./read-text.js";
import type { ReferenceScope } from "./reference-scope.js";
import { errorAt, type ValidationCode, type ValidationError } from "./validation-error.js";

/** Every block has this handle: its connections are taken after a failure that `onError` lets the run survive. */
const ERROR_HANDLE = "error";

/** What is wrong with the ends, handles and conditions of connections, one after the other. */
export function* checkConnections(
  connections: readonly Connection[],
  byId: ReadonlyMap<string, Block>,
  blockTypes: BlockTypes,
  scope: ReferenceScope,
): Generator<ValidationError> {
  const seen = new Set<string>();
  const handlesBySource = new Map<Block, readonly string[] | null>();
  for (const [index, connection] of connections.entries()) {
    const { source, target, sourceHandle } = connection;
    const [from, to] = [byId.get(source), byId.get(target)];
    const field = `connections[${index}]`;
    const at = (code: ValidationCode, error: string) => ({
      ...errorAt(from ?? to, code, `${field} "${source}" → "${target}": ${error}`),
      field,
    });
    if (from === undefined) yield at("invalid_edge_source", "the source is no block; add it or disconnect.");
    if (to === undefined) yield at("invalid_edge_target", "the target is no block; add it or disconnect.");
    else if (blockTypes.get(to.type)?.kind === "trigger") {
      yield at("invalid_edge_target", "the target is a trigger, which nothing can lead to; disconnect.");
    }
    const key = JSON.stringify([source, target, sourceHandle]);
    if (seen.has(key))
      yield at("duplicate_connection", "this connection is there twice; disconnect and connect once.");
    seen.add(key);
    if (from !== undefined && sourceHandle !== undefined) {
      const handles = handlesBySource.get(from) ?? handlesOf(from, blockTypes);
      handlesBySource.set(from, handles);
      for (const [code, error] of checkHandle(sourceHandle, from, handles)) yield at(code, error);
    }
    if (connection.condition !== undefined) yield* checkCondition(connection, field, from, scope);
  }
}

function* checkHandle(
  handle: string,
  source: Block,
  handles: readonly string[] | null,
): Generator<[ValidationCode, string]> {
  if (handles?.includes(handle) === false) {
    const error = `the source has no handle "${excerpt(handle)}"; its handles are ${excerptNames(handles)}.`;
    yield ["unknown_handle", error];
  }
  if (handle === ERROR_HANDLE && !isCaught(source)) {
    const error =
      'nothing takes the handle "error" while the source\'s onError is fail; update its onError to "branch" or "continue".';
    yield ["error_not_caught", error];
  }
}

/** The handles of a block; null when it takes any. */
function handlesOf(block: Block, blockTypes: BlockTypes): string[] | null {
  const exits = blockTypes.get(block.type)?.exits;
  if (exits === undefined) return null;
  try {
    return [...exits.of(block.params), ERROR_HANDLE];
  } catch {
    // A connector that is loaded as a module may not expect parameters that do not fit; they have errors of their own.
    return null;
  }
}

function* checkCondition(
  connection: Connection,
  at: string,
  block: Block | undefined,
  scope: ReferenceScope,
): Generator<ValidationError> {
  const { condition = "" } = connection;
  const field = `${at}.condition`;
  const { errors } = readExpression(condition, scope, scope.along(connection), "invalid_condition");
  for (const [code, error] of errors) {
    yield { ...errorAt(block, code, `${field}: ${error}`), field, value: excerpt(condition) };
  }
}
