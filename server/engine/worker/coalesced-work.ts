/** Work that is done again whenever it is asked for. */
export interface CoalescedWork {
  /** Does the work soon; requests that come before it begins count as one. */
  request(): void;
  /** Resolves once nothing that was asked for is left. */
  settle(): Promise<void>;
}

/** Does `work`, which never rejects, once at a time. */
export function coalesceWork(work: () => Promise<void>): CoalescedWork {
  let last: Promise<void> = Promise.resolve();
  let isAsked = false;
  return {
    request() {
      if (isAsked) return;
      isAsked = true;
      last = last.then(() => {
        isAsked = false;
        return work();
      });
    },
    settle: () => last,
  };
}
