export * from "./approval.js";
export * from "./auth.js";
export * from "./run.js";
export * from "./schedule.js";
export * from "./secret.js";
export * from "./signal.js";
export * from "./webhook.js";
export * from "./workflow.js";
