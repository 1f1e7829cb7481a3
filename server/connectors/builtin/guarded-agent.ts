import { lookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";
import { Agent, buildConnector } from "undici";
import { BlockError } from "../define-connector.js";

/** Azure answers its virtual machines here, on an address that looks public. */
const AZURE_WIRE_SERVER = "168.63.129.16";

/**
 * An undici agent that connects only to addresses that `isAllowed` accepts. The check is made on the address of each
 * new connection, literal or resolved, so neither a redirect nor a name that changes its address gets around it.
 * A refused connection fails with a `BlockError` of code `http_address_refused`. There is no time limit but the
 * signal of each request.
 */
export function guardedAgent(isAllowed: (address: string) => boolean): Agent {
  const connect = buildConnector({ lookup: guardedLookup(isAllowed) });
  return new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (options, callback) => {
      // A socket resolves names through lookup, but takes literal addresses as they are.
      if (isIP(options.hostname) !== 0 && !isAllowed(options.hostname)) {
        callback(refusal(options.hostname), null);
        return;
      }
      connect(options, callback);
    },
  });
}

/** Whether an address belongs to the public internet; IPv4 inside IPv6 counts as the IPv4 address. */
export function isPublicAddress(address: string): boolean {
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast" || parsed.toString() === AZURE_WIRE_SERVER) return false;
  // What is assigned to the public in IPv6; the rest holds, among others, the old ::/96 forms of IPv4 addresses.
  return parsed.kind() === "ipv4" || parsed.match(ipaddr.parseCIDR("2000::/3"));
}

/** Resolves a name as the system does; one address that is not allowed refuses the name. */
function guardedLookup(isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) {
        callback(error ?? new Error(`${hostname} has no address`), "", 0);
      } else if (!addresses.every(({ address }) => isAllowed(address))) {
        callback(refusal(hostname), "", 0);
      } else if (options.all === true) {
        callback(null, addresses);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

function refusal(hostname: string): BlockError {
  return new BlockError(
    "http_address_refused",
    `url: ${hostname} is a private or reserved address, which the http block may not reach; use a public address, ` +
      "or start the server with HTTP_ALLOW_PRIVATE=true.",
  );
}
