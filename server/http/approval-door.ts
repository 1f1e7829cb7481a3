import { createHash } from "node:crypto";
import type { Request, RequestHandler, Response } from "express";
import { z } from "zod";
import { PAGE_STYLE, type PageContent, renderApprovalPage } from "../approvals/approval-page.js";
import { decisions } from "../approvals/approval-rules.js";
import { AppError } from "../errors/app-error.js";
import { errorRow } from "../errors/error-table.js";
import type { Services } from "../services.js";
import { createRawBodyReader } from "./raw-body.js";

/** The two handlers behind a one-time link; the token is the path parameter `token`. */
export interface ApprovalDoor {
  /** Shows the question; programs that follow links to preview them decide nothing. */
  readonly show: RequestHandler;
  /** Takes the decision of the page's form. */
  readonly decide: RequestHandler;
}

const Form = z.object({
  decision: z.enum(decisions),
  note: z
    .string()
    .max(2_000)
    .refine((text) => !text.includes("\u0000"))
    .default(""),
});

/** Serves the pages of one-time approval links: no account, no script, and requests counted per address. */
export function createApprovalDoor({
  approvals,
  addressRateLimit,
}: Pick<Services, "approvals" | "addressRateLimit">): ApprovalDoor {
  const styleHash = createHash("sha256").update(PAGE_STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;
  const readBody = createRawBodyReader();

  const answer = (res: Response, status: number, content: PageContent) => {
    res
      .status(status)
      .set({ "Content-Security-Policy": policy, "X-Robots-Tag": "noindex, nofollow" })
      .type("html")
      .send(renderApprovalPage(content));
  };
  const guarded =
    (work: (token: string, req: Request, res: Response) => Promise<PageContent>): RequestHandler =>
    async (req, res, next) => {
      try {
        await addressRateLimit.consume(req.ip, (name, value) => res.setHeader(name, value));
        answer(res, 200, await work(String(req.params.token), req, res));
      } catch (cause) {
        if (!(cause instanceof AppError) || errorRow(cause.errorCode).status >= 500) return next(cause);
        answer(res, errorRow(cause.errorCode).status, { kind: "problem", message: cause.message });
      }
    };

  return {
    show: guarded(async (token) => ({ kind: "question", ...(await approvals.openLink(token)) })),
    decide: guarded(async (token, req, res) => {
      const { decision, note } = parseForm(await readBody(req, res));
      await approvals.decideByLink(token, { decision, note: note === "" ? null : note });
      return { kind: "done", decision };
    }),
  };
}

/** @throws AppError `invalid_body`. */
function parseForm(body: Buffer): z.output<typeof Form> {
  const parsed = Form.safeParse(Object.fromEntries(new URLSearchParams(body.toString("utf8"))));
  if (parsed.success) return parsed.data;
  throw new AppError("invalid_body", {
    message: "Choose Approve or Reject; a note may have 2,000 characters.",
  });
}
