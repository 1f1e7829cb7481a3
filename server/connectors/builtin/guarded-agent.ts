import { isIP } from "node:net";
import { Agent, buildConnector } from "undici";
import { type AddressRule, addressRefused, guardedLookup } from "./address-guard.js";

const caller = { type: "http", parameter: "url" };

/**
 * An undici agent that connects only to addresses that `isAllowed` accepts. The check is made on the address of each
 * new connection, literal or resolved, so neither a redirect nor a name that changes its address gets around it.
 * A refused connection fails with a `BlockError` of code `http_address_refused`. There is no time limit but the
 * signal of each request.
 */
export function guardedAgent(isAllowed: AddressRule): Agent {
  const connect = buildConnector({ lookup: guardedLookup(isAllowed, caller) });
  return new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (options, callback) => {
      // A socket resolves names through lookup, but takes literal addresses as they are.
      if (isIP(options.hostname) !== 0 && !isAllowed(options.hostname)) {
        callback(addressRefused(options.hostname, caller), null);
        return;
      }
      connect(options, callback);
    },
  });
}
