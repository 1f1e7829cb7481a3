import type { Decision } from "./approval-rules.js";

/** What the page of a link shows: the question, or how it went. */
export type PageContent =
  | { readonly kind: "question"; readonly name: string; readonly prompt: string; readonly details: unknown }
  | { readonly kind: "done"; readonly decision: Decision }
  | { readonly kind: "problem"; readonly message: string };

/** The one style sheet of the page; it stands in the page, so that nothing is loaded. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; }
body { margin: 0; font: 1.0625rem/1.5 system-ui, sans-serif; }
main { max-width: 38rem; margin: 0 auto; padding: 2rem 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
pre { padding: 1rem; overflow: auto; border: 1px solid; border-radius: .375rem; font-size: .9375rem; }
label { display: block; margin-top: 1.5rem; font-weight: 600; }
textarea { box-sizing: border-box; width: 100%; min-height: 6rem; font: inherit; }
button { margin: 1rem .75rem 0 0; padding: .625rem 1.25rem; font: inherit; font-weight: 600; cursor: pointer; }
`;

/** The page as HTML; everything that comes from outside is escaped, and it needs no script. */
export function renderApprovalPage(content: PageContent): string {
  const { title, body } = bodyOf(content);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${title}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`;
}

function bodyOf(content: PageContent): { readonly title: string; readonly body: string } {
  switch (content.kind) {
    case "question":
      return { title: "Your decision is needed", body: questionOf(content) };
    case "done":
      return {
        title: content.decision === "approved" ? "You approved" : "You rejected",
        body: '<p role="status">Your decision is kept. You can close this page.</p>',
      };
    case "problem":
      return {
        title: "Nothing to decide here",
        body: `<p role="alert" class="text">${escapeHtml(content.message)}</p>`,
      };
  }
}

function questionOf({ name, prompt, details }: Extract<PageContent, { kind: "question" }>): string {
  const shown =
    details === null
      ? ""
      : `<h2>Details</h2>\n<pre tabindex="0">${escapeHtml(
          typeof details === "string" ? details : JSON.stringify(details, null, 2),
        )}</pre>`;
  return `<p>For ${escapeHtml(name)}</p>
<p class="text">${escapeHtml(prompt)}</p>
${shown}
<form method="post">
<label for="note">Note (optional)</label>
<textarea id="note" name="note" maxlength="2000"></textarea>
<button type="submit" name="decision" value="approved">Approve</button>
<button type="submit" name="decision" value="rejected">Reject</button>
</form>
<p>This link works once. A decision cannot be changed.</p>`;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
