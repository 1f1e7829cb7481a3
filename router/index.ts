import { approvalsRouter } from "./approvals.js";
import { connectorsRouter } from "./connectors.js";
import { errorsRouter } from "./errors.js";
import { runsRouter } from "./runs.js";
import { adminRouter, schedulesRouter } from "./schedules.js";
import { secretsRouter } from "./secrets.js";
import { signalsRouter } from "./signals.js";
import { router } from "./trpc.js";
import { webhooksRouter } from "./webhooks.js";
import { workflowsRouter } from "./workflows.js";

/** Every operation of Flowkeep; REST, OpenAPI and the typed client follow from it. */
export const appRouter = router({
  workflows: workflowsRouter,
  connectors: connectorsRouter,
  runs: runsRouter,
  schedules: schedulesRouter,
  admin: adminRouter,
  secrets: secretsRouter,
  signals: signalsRouter,
  approvals: approvalsRouter,
  webhooks: webhooksRouter,
  errors: errorsRouter,
});

/** Type of the router, for typed clients. */
export type AppRouter = typeof appRouter;
