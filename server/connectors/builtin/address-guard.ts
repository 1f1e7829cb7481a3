import { lookup } from "node:dns";
import { connect, isIP, type LookupFunction, type Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { BlockError } from "../block-error.js";

/** Azure answers its virtual machines here, on an address that looks public. */
const AZURE_WIRE_SERVER = "168.63.129.16";

/** Whether blocks may connect to an address. */
export type AddressRule = (address: string) => boolean;

/** Which block asks for a connection, for the message of a refusal. */
export interface Caller {
  /** Type of the block; the code of a refusal is `{type}_address_refused`. */
  readonly type: string;
  /** Parameter that names the host. */
  readonly parameter: string;
}

/** Whether an address belongs to the public internet; IPv4 inside IPv6 counts as the IPv4 address. */
export function isPublicAddress(address: string): boolean {
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast" || parsed.toString() === AZURE_WIRE_SERVER) return false;
  // What is assigned to the public in IPv6; the rest holds, among others, the old ::/96 forms of IPv4 addresses.
  return parsed.kind() === "ipv4" || parsed.match(ipaddr.parseCIDR("2000::/3"));
}

/** Public addresses, or every address where `allowsPrivate` says so. */
export function addressRule(allowsPrivate: boolean): AddressRule {
  return allowsPrivate ? () => true : isPublicAddress;
}

/** Resolves a name as the system does; one address that is not allowed refuses the name. */
export function guardedLookup(isAllowed: AddressRule, caller: Caller): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) {
        callback(error ?? new Error(`${hostname} has no address`), "", 0);
      } else if (!addresses.every(({ address }) => isAllowed(address))) {
        callback(addressRefused(hostname, caller), "", 0);
      } else if (options.all === true) {
        callback(null, addresses);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

/** Longest time that opening a connection may take, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * An open connection to a host at an address that `isAllowed` accepts; the check is made on the address itself, so a
 * name that changes its address does not get around it. Rejects with what the socket failed with, or a `BlockError`
 * that says the address is refused.
 */
export function openGuardedSocket(
  target: { readonly host: string; readonly port: number },
  isAllowed: AddressRule,
  caller: Caller,
): Promise<Socket> {
  const { port } = target;
  const host = target.host.replace(/^\[(.*)\]$/, "$1");
  return new Promise((resolve, reject) => {
    // A socket resolves names through lookup, but takes literal addresses as they are.
    if (isIP(host) !== 0 && !isAllowed(host)) {
      reject(addressRefused(host, caller));
      return;
    }
    const socket = connect({ host, port, lookup: guardedLookup(isAllowed, caller) });
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error("It did not answer in time."), { code: "ETIMEDOUT" }));
    }, CONNECT_TIMEOUT_MS);
    socket.once("close", () => clearTimeout(timer));
    // It stays: whoever takes the socket listens a little later, and an error that nobody hears ends the process.
    socket.on("error", reject);
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

/** Says that a host is out of bounds. */
export function addressRefused(hostname: string, { type, parameter }: Caller): BlockError {
  return new BlockError(
    `${type}_address_refused`,
    `${parameter}: ${hostname} is a private or reserved address, which the ${type} block may not reach; use a public ` +
      "address, or start the server with HTTP_ALLOW_PRIVATE=true.",
  );
}
