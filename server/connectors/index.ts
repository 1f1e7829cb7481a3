export {
  type BlockContext,
  BlockError,
  type BlockLogger,
  type ComputeConnector,
  defineConnector,
  type Effect,
  hidden,
  type JsonObject,
  secret,
} from "./define-connector.js";
