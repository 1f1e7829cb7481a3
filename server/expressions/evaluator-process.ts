import { liveWithParent } from "../processes/live-with-parent.js";
import { type Evaluation, evaluateExpression } from "./evaluate-expression.js";

/** What the process says to the one that started it. */
export type EvaluatorMessage = "ready" | Awaited<ReturnType<typeof evaluateExpression>>;

const say = (message: EvaluatorMessage) => process.send?.(message);

liveWithParent();
process.on("message", async (evaluation: Evaluation) => say(await evaluateExpression(evaluation)));
say("ready");
