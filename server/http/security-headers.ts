import type { RequestHandler } from "express";
import helmet from "helmet";

/**
 * Headers that keep browsers from sniffing, framing and leaking. Scripts come from this server only; Swagger UI needs
 * inline styles and `data:` images. HSTS is sent only where the public address is https.
 */
export function sendSecurityHeaders(isHttps: boolean): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
      },
    },
    strictTransportSecurity: isHttps,
  });
}

/** Answers belong to one tenant: no cache may keep them. */
export function forbidCaching(): RequestHandler {
  return (_req, res, next) => {
    res.setHeader("Cache-Control", "no-store");
    next();
  };
}
