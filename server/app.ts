import type { AnyTRPCRouter } from "@trpc/server";
import express, { type Express, type RequestHandler } from "express";
import { serveDocument } from "../openapi/document.js";
import { createRestFacade } from "../openapi/express-bridge.js";
import { REST_PREFIX } from "../openapi/operations.js";
import { createSwaggerUi } from "../openapi/swagger.js";
import { createApprovalDoor } from "./http/approval-door.js";
import { createContextFactory } from "./http/context.js";
import { allowOrigins } from "./http/cors.js";
import { handleErrors, refuseUnknownPath } from "./http/error-handler.js";
import { createHealth, createReadiness, type ReadinessChecks } from "./http/health.js";
import { createHookDoor } from "./http/hook-door.js";
import type { Metrics } from "./http/metrics.js";
import { nameRoute, openRequestFacts } from "./http/request-facts.js";
import { logRequests } from "./http/request-log.js";
import { forbidCaching, sendSecurityHeaders } from "./http/security-headers.js";
import { createTrpcDoor } from "./http/trpc-door.js";
import type { Services } from "./services.js";

/** What an app is put together from beside the services. */
export interface AppParts {
  readonly router: AnyTRPCRouter;
  /** Answers everything below `/api/auth`. */
  readonly authRoutes: RequestHandler;
  /** Origins whose pages may call with credentials. */
  readonly trustedOrigins: readonly string[];
  readonly readiness: ReadinessChecks;
  readonly metrics: Metrics;
}

/** Puts every door and middleware together, in the order they see a request. Starts nothing. */
export function createApp(services: Services, parts: AppParts): Express {
  const { config, logger } = services;
  const { router, metrics } = parts;
  const createContext = createContextFactory(services);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  // Express's own last resort shows stacks in any other environment.
  app.set("env", "production");
  app.set("trust proxy", config.trustProxy);

  app.use(openRequestFacts());
  app.use(logRequests(logger));
  app.use(metrics.observe);
  app.use(sendSecurityHeaders(config.baseUrl?.startsWith("https:") === true));
  app.use(allowOrigins(parts.trustedOrigins));

  app.get("/health", nameRoute("/health"), createHealth(config.versionLabel));
  app.get("/ready", nameRoute("/ready"), createReadiness(parts.readiness));
  app.get("/metrics", nameRoute("/metrics"), metrics.expose);

  app.use("/api/auth", nameRoute("/api/auth"), forbidCaching(), parts.authRoutes);
  app.use("/trpc", nameRoute("/trpc"), forbidCaching(), createTrpcDoor(router, createContext, logger));
  app.use(REST_PREFIX, nameRoute(REST_PREFIX), forbidCaching(), createRestFacade(router, createContext));

  app.post("/hooks/:hookId", nameRoute("/hooks/{hookId}"), forbidCaching(), createHookDoor(services));

  const approvalDoor = createApprovalDoor(services);
  app.use("/approve/:token", nameRoute("/approve/{token}"), forbidCaching());
  app.route("/approve/:token").get(approvalDoor.show).post(approvalDoor.decide);

  app.get("/openapi.json", nameRoute("/openapi.json"), serveDocument(router));
  app.use("/docs", nameRoute("/docs"), createSwaggerUi());
  app.get("/", nameRoute("/"), (_req, res) => res.redirect("/docs"));

  app.use(refuseUnknownPath());
  app.use(handleErrors(logger));
  return app;
}
