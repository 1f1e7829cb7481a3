import { describe, expect, it } from "vitest";
import { isCredentialName } from "../../server/webhooks/credential-names.js";

describe("the names of headers and fields", () => {
  it.each([
    ..."authorization proxy-authorization cookie set-cookie x-api-key api-key x-auth-token x-access-token".split(
      " ",
    ),
    ..."x-gitlab-token x-telegram-bot-api-secret-token x-webhook-secret x-hook-secret private-token".split(
      " ",
    ),
    ..."x-amz-security-token stripe-signature x-hub-signature-256 webhook-signature x-shopify-hmac-sha256".split(
      " ",
    ),
    ..."x-session-id x-auth x-access-key".split(" "),
    ..."password userPass passwd passphrase clientSecret apiKey api_key privateKey accessKeyId credentials".split(
      " ",
    ),
    ..."pwd pin cardPin otp jwt bearer signature cvc CVV ssn session sessionId card[cvc]".split(" "),
  ])("%s tells of a credential", (name) => {
    expect(isCredentialName(name)).toBe(true);
  });

  it.each(
    "shipping author authority spinner adoption mission content-type user-agent x-request-id idempotency-key webhook-id webhook-timestamp key keyboard passenger event_id x-github-delivery host".split(
      " ",
    ),
  )("%s does not", (name) => {
    expect(isCredentialName(name)).toBe(false);
  });
});
