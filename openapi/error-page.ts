import { describeErrors, type ErrorDescription } from "../server/errors/describe-errors.js";
import { skipReasons } from "../server/workflows/skip-reasons.js";

/** The text of `docs/errors.md`, from the tables in the code. */
export function renderErrorPage(): string {
  const errors = describeErrors();
  return `${[
    "# Errors",
    "Generated from `server/errors/error-table.ts` and `server/workflows/skip-reasons.ts`; `npm run generate` writes it again.",
    "Codes are stable: new ones may come, none changes its meaning or status. Every response carries `x-request-id`; a 5xx body repeats it as `requestId`.",
    "## REST: `/api/*`",
    'The body is `{"error": "<code>", "message": "<one sentence>", …details}` with the status of the table.',
    table(
      ["Code", "Status", "Meaning", "What to do", "Retry", "Details"],
      errors.map((error) => [
        `\`${error.code}\``,
        String(error.status),
        error.message,
        error.remedy,
        error.retryable ? "yes" : "no",
        details(error),
      ]),
    ),
    "Checks come in this order: 401, then 429, 403, 400, 404, 412. An unknown path is `not_found`, and so is a known path with another method; `Allow` then names its methods.",
    "## tRPC: `/trpc/*`",
    "The same code, status and details stand under `error.data`: `error.data.error` is the code, `error.data.httpStatus` the status, `error.data.message` the message. A batch whose calls differ in status answers 207; each call carries its own.",
    "## Accounts: `/api/auth/*`",
    'These routes are better-auth\'s and answer `{"code": "<CODE>", "message": "<one sentence>"}`.',
    table(["Code", "Meaning"], authCodes),
    "## Skipped edit operations",
    "`POST /api/workflows/{id}/operations` answers 200 and explains in `skipped_items[]` what it did not apply.",
    table(
      ["Reason code", "Meaning", "What to do"],
      Object.entries(skipReasons).map(([code, { description, remedy }]) => [
        `\`${code}\``,
        description,
        remedy,
      ]),
    ),
  ].join("\n\n")}\n`;
}

const authCodes = [
  [
    "`MISSING_OR_NULL_ORIGIN`",
    "The request carries a cookie but no Origin header: send `Origin: <BASE_URL>`.",
  ],
  ["`INVALID_CREDENTIALS`", "The password is wrong."],
  [
    "`USER_NOT_FOUND`",
    "Nobody is registered with this e-mail. `AUTH_CONCEAL_ACCOUNTS=true` folds it into `INVALID_CREDENTIALS`.",
  ],
  ["`USER_ALREADY_EXISTS`", "The e-mail is registered already."],
  ["`INVALID_TOKEN`", "The API key to verify does not exist or was revoked."],
  ["`INVALID_REFERENCE_ID_FROM_API_KEY`", "A key cannot mint keys: use a session."],
];

function details({ details }: ErrorDescription): string {
  return Object.entries(details)
    .map(([name, text]) => `\`${name}\`: ${text}`)
    .join(" ");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
