import { randomBytes } from "node:crypto";

/** A signed-up user with the session of the sign-up, in which the personal organization is active. */
export interface SignedUp {
  readonly email: string;
  readonly password: string;
  /** Raw session token for `Authorization: Bearer`. */
  readonly token: string;
  /** Value for the `Cookie` header. */
  readonly cookie: string;
  readonly userId: string;
  readonly organizationId: string;
}

/** Fields of the sign-up that a test cares about. */
export interface SignUpOverrides {
  readonly name?: string;
  readonly email?: string;
  readonly password?: string;
}

/** Signs a new user up over HTTP; without overrides nobody else has the address. */
export async function signUp(baseUrl: string, overrides: SignUpOverrides = {}): Promise<SignedUp> {
  const credentials = {
    name: "Ada Lovelace",
    email: `user-${randomBytes(8).toString("hex")}@example.com`,
    password: "correct horse battery staple",
    ...overrides,
  };
  const response = await post(`${baseUrl}/api/auth/sign-up/email`, credentials);
  const { token, user } = await expectJson<{ token: string; user: { id: string } }>(response);
  const cookie = response.headers
    .getSetCookie()
    .map((line) => line.split(";", 1)[0])
    .join("; ");
  const { session } = await expectJson<{ session: { activeOrganizationId: string } }>(
    await fetch(`${baseUrl}/api/auth/get-session`, { headers: { authorization: `Bearer ${token}` } }),
  );
  return {
    email: credentials.email,
    password: credentials.password,
    token,
    cookie,
    userId: user.id,
    organizationId: session.activeOrganizationId,
  };
}

/** What a minted key may be asked for; absent: it may do everything and does not expire. */
export interface MintKeyOptions {
  readonly name?: string;
  readonly organizationId?: string;
  readonly permissions?: Readonly<Record<string, readonly string[]>>;
  /** Seconds. */
  readonly expiresIn?: number;
}

/** Mints a key `fk_…` for the session's active organization over HTTP. */
export async function mintKey(
  baseUrl: string,
  session: Pick<SignedUp, "token">,
  options: MintKeyOptions = {},
): Promise<string> {
  const response = await post(
    `${baseUrl}/api/auth/api-key/create`,
    { name: "test", ...options },
    { authorization: `Bearer ${session.token}` },
  );
  return (await expectJson<{ key: string }>(response)).key;
}

function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function expectJson<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
