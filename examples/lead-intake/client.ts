import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Webhook } from "standardwebhooks";

/** Calls the REST facade and shows every call. */
export class Client {
  readonly #url: string;
  #token: string | null = null;

  constructor(url: string) {
    this.#url = url;
  }

  /** Signs a person up; what follows is done in this person's organization. */
  async signUp(name: string): Promise<void> {
    const email = `${name.toLowerCase()}@example.com`;
    const body = { name, email, password: randomBytes(12).toString("hex") };
    const { token } = await this.call<{ token: string }>("POST", "/api/auth/sign-up/email", body);
    this.#token = token;
  }

  /** One request; the caller knows the shape of the answer. */
  async call<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (method !== "GET") console.log(`   ${method} ${path} -> ${response.status}`);
    if (!response.ok) throw new Error(`The server refused ${method} ${path}: ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  /** Reads until the answer is as expected. */
  async until<Answer>(path: string, isThere: (answer: Answer) => boolean): Promise<Answer> {
    for (;;) {
      const answer = await this.call<Answer>("GET", path);
      if (isThere(answer)) return answer;
      await delay(100);
    }
  }
}

/** Delivers as a sender of Standard Webhooks does: the body signed with the hook's secret. */
export async function deliver(
  hook: { url: string; secret: string },
  id: string,
  payload: unknown,
): Promise<{ runId: string }> {
  const body = JSON.stringify(payload);
  const now = new Date();
  const response = await fetch(hook.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
      "webhook-signature": new Webhook(hook.secret).sign(id, now, body),
    },
    body,
  });
  console.log(`   signed delivery ${id} -> ${response.status}`);
  return (await response.json()) as { runId: string };
}
