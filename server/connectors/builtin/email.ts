import { createHash } from "node:crypto";
import nodemailer from "nodemailer";
import { z } from "zod";
import {
  type BlockContext,
  BlockError,
  type ComputeConnector,
  defineConnector,
  hidden,
} from "../define-connector.js";
import { type AddressRule, openGuardedSocket } from "./address-guard.js";
import { type MailAddress, parseMailAddress, parseSmtpUrl, type SmtpTarget } from "./email-address.js";

/** Times that a step of the exchange with the mail server may take, in milliseconds. */
const GREETING_TIMEOUT_MS = 15_000;
const SOCKET_TIMEOUT_MS = 30_000;

const line = z
  .string()
  .min(1)
  .max(998)
  .regex(/^[^\r\n]*$/, "must be one line");
const address = line.refine(
  (text) => parseMailAddress(text) !== null,
  "must be one address, such as ada@example.com or Ada Lovelace <ada@example.com>",
);
const addresses = z.union([address, z.array(address).min(1).max(100)]);

const Params = z
  .object({
    to: addresses.meta({ title: "To", description: "One address, or an array of up to 100." }),
    cc: addresses.optional().meta({ title: "Cc" }),
    bcc: addresses.optional().meta({ title: "Bcc" }),
    replyTo: address.optional().meta({ title: "Reply to" }),
    from: address.optional().meta({
      title: "From",
      description: "Absent: the user of SMTP_URL, when that is an address.",
    }),
    subject: line.meta({ title: "Subject" }),
    text: z
      .string()
      .max(1_000_000)
      .optional()
      .meta({ title: "Text", description: "Plain text of the message." }),
    html: z.string().max(1_000_000).optional().meta({ title: "HTML", description: "The same as HTML." }),
    smtpUrl: hidden(
      z.url({ protocol: /^smtps?$/, error: "the secret SMTP_URL must be smtps://user:password@host:465" }),
      { fromSecret: "SMTP_URL" },
    ),
  })
  .refine(({ text, html }) => text !== undefined || html !== undefined, {
    path: ["text"],
    error: "must be set, or html",
    // Also while the rest does not fit, as in an edit, where the server has not filled smtpUrl in.
    when: ({ value }) => typeof value === "object" && value !== null,
  });
type Params = z.output<typeof Params>;

const Outputs = z.object({
  messageId: z.string().describe("Message-ID of the mail, the same on every attempt."),
  accepted: z.array(z.string()).describe("Addresses that the mail server took."),
  rejected: z.array(z.string()).describe("Addresses that it refused, while it took others."),
});

/**
 * Sends one mail over SMTP. The Message-ID is made from the idempotency key, so that receivers can drop what a retry
 * sends twice. `isAllowed` says at which addresses the mail server may be.
 */
export function emailConnector(isAllowed: AddressRule): ComputeConnector {
  return defineConnector({
    type: "email",
    name: "E-mail",
    description:
      "Sends an e-mail over SMTP. The server and the account come from the organization's secret SMTP_URL, such as smtps://user:password@smtp.example.com:465.",
    category: "communication",
    effect: "unsafe",
    retry: { maxAttempts: 3, initialMs: 2_000, factor: 2, maxMs: 60_000 },
    params: Params,
    outputs: Outputs,
    examples: [
      {
        title: "Greet a customer",
        params: {
          to: "{{trigger.email}}",
          from: "Example Shop <hello@example.com>",
          subject: "Welcome, {{trigger.name}}",
          text: "Thank you for your order.",
        },
      },
    ],
    run: (params, context) => sendMail(params, context, isAllowed),
  });
}

async function sendMail(
  params: Params,
  context: BlockContext,
  isAllowed: AddressRule,
): Promise<z.input<typeof Outputs>> {
  const target = parseSmtpUrl(params.smtpUrl);
  const from = parseMailAddress(params.from ?? target.user ?? "");
  if (from === null) {
    throw new BlockError("email_no_sender", "from: set it, because the user in SMTP_URL is no address.");
  }
  const domain = from.address.slice(from.address.lastIndexOf("@") + 1);
  const messageId = `<${createHash("sha256").update(context.idempotencyKey).digest("hex").slice(0, 40)}@${domain}>`;
  try {
    const transport = await openTransport(target, context, isAllowed);
    try {
      const sent = await transport.sendMail({ ...toMail(params), from, messageId, signal: context.signal });
      return { messageId, accepted: sent.accepted.map(String), rejected: sent.rejected.map(String) };
    } finally {
      transport.close();
    }
  } catch (error) {
    context.signal.throwIfAborted();
    throw error instanceof BlockError ? error : toFailure(error, target);
  }
}

async function openTransport(target: SmtpTarget, context: BlockContext, isAllowed: AddressRule) {
  const caller = { type: "email", parameter: "SMTP_URL" };
  const connection = await openGuardedSocket(target, isAllowed, caller);
  if (context.signal.aborted) {
    connection.destroy();
    throw context.signal.reason;
  }
  const { host, port, isSecure, user, password } = target;
  return nodemailer.createTransport({
    host,
    port,
    connection,
    secure: isSecure,
    requireTLS: target.requiresTls,
    ...(user === null ? {} : { auth: { user, pass: password } }),
    greetingTimeout: GREETING_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    // A value that looks like a path or an address is text here.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

function toMail({ to, cc, bcc, replyTo, subject, text, html }: Params) {
  return {
    to: toAddresses(to),
    cc: toAddresses(cc),
    bcc: toAddresses(bcc),
    ...(replyTo === undefined ? {} : { replyTo: toAddresses(replyTo) }),
    subject,
    ...(text === undefined ? {} : { text }),
    ...(html === undefined ? {} : { html }),
  };
}

function toAddresses(value: string | readonly string[] | undefined): MailAddress[] {
  return [value ?? []].flat().flatMap((text) => parseMailAddress(text) ?? []);
}

/** 4xx and network failures pass by themselves, 5xx do not; https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1. */
function toFailure(error: unknown, { host, port }: SmtpTarget): BlockError {
  const { responseCode, response, code, command } = error as {
    readonly command?: unknown;
    readonly responseCode?: unknown;
    readonly response?: unknown;
    readonly code?: unknown;
  };
  const name = typeof code === "string" ? code : "no answer";
  if (typeof responseCode === "number") {
    // Whole: what is kept is cut once it was searched for secrets, of which a cut one would not be found.
    const answer = typeof response === "string" ? response : String(responseCode);
    const problem =
      command === "STARTTLS"
        ? `offers no TLS, which SMTP_URL asks for with requireTLS=true; use a server that does: ${answer}`
        : `answered ${answer}`;
    return new BlockError(
      name === "EAUTH" ? "email_authentication" : `email_${responseCode}`,
      `The mail server ${host}:${port} ${problem}`,
      { isRetryable: responseCode >= 400 && responseCode < 500 },
    );
  }
  if (name === "EENVELOPE" || name === "EMESSAGE" || name === "EAUTH") {
    return new BlockError("email_refused", `The mail cannot be sent through ${host}:${port} (${name}).`);
  }
  return new BlockError("email_network_error", `The mail server ${host}:${port} failed (${name}).`, {
    isRetryable: true,
  });
}
