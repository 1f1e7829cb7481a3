import { beforeEach } from "vitest";

/** A clock that stands still until it is set. */
export interface SettableClock {
  readonly now: () => Date;
  set(instant: string): void;
}

export function clockAt(instant: string): SettableClock {
  let present = new Date(instant);
  return {
    now: () => new Date(present),
    set(next) {
      present = new Date(next);
    },
  };
}

/** A clock that stands at the instant when a test begins. */
export function useClockAt(instant: string): SettableClock {
  const clock = clockAt(instant);
  beforeEach(() => clock.set(instant));
  return clock;
}

/** The real clock, ahead of itself by as much as a test says. */
export interface ShiftedClock {
  aheadMs: number;
  readonly now: () => Date;
}

/** A clock that goes right when a test begins. */
export function useShiftedClock(): ShiftedClock {
  const clock = { aheadMs: 0, now: () => new Date(Date.now() + clock.aheadMs) };
  beforeEach(() => {
    clock.aheadMs = 0;
  });
  return clock;
}
