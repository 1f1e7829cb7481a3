export type { RetryPolicy } from "../workflows/document.js";
export {
  type BlockContext,
  BlockError,
  type BlockLogger,
  type ComputeConnector,
  type ConnectorDefinition,
  defineConnector,
  type Effect,
  type Exits,
  expression,
  hidden,
  type JsonObject,
  literal,
  type ParamCheck,
  secret,
} from "./define-connector.js";
