export * from "./auth.js";
export * from "./run.js";
export * from "./schedule.js";
export * from "./workflow.js";
