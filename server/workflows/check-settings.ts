import { isUuid } from "../db/uuid.js";
import type { Settings } from "./document.js";
import { excerpt } from "./excerpt.js";
import { errorAt, type ValidationError } from "./validation-error.js";

/** Settings that no run could follow. */
export function* checkSettings({ onFailure }: Settings): Generator<ValidationError> {
  if (onFailure === undefined || isUuid(onFailure.workflowId)) return;
  const field = "settings.onFailure.workflowId";
  const error = `${field}: "${excerpt(onFailure.workflowId)}" is not the id of a workflow, which is a UUID; configure another.`;
  yield { ...errorAt(undefined, "invalid_settings", error), field, value: excerpt(onFailure.workflowId) };
}
