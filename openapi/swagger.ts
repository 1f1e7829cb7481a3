import { createRequire } from "node:module";
import { dirname } from "node:path";
import express, { type RequestHandler } from "express";

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Flowkeep API</title>
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
    <link rel="stylesheet" href="/docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`;

/** A file of its own, because the content security policy allows no inline script. */
const startScript = `window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
});
`;

const assets = new Set(["/swagger-ui.css", "/swagger-ui-bundle.js", "/favicon-32x32.png"]);

/** Swagger UI on `/openapi.json`, served from the installed package without any other host. */
export function createSwaggerUi(): RequestHandler {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve("swagger-ui-dist/package.json"));
  const files = express.static(folder, { index: false, redirect: false, maxAge: "1h" });
  const routes = express.Router();
  routes.get("/", (_req, res) => {
    res.type("html").send(page);
  });
  routes.get("/start.js", (_req, res) => {
    res.type("js").send(startScript);
  });
  routes.use((req, res, next) => (assets.has(req.path) ? files(req, res, next) : next()));
  return routes;
}
