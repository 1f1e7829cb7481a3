/** A place in a layer: a block, or where a long connection passes. */
export interface Slot {
  readonly key: string;
  readonly width: number;
  /** Of its middle. */
  x: number;
  /** Slots of the layer above and the layer below that it is connected with. */
  readonly above: Slot[];
  readonly below: Slot[];
}

/** From left to right. */
export type Layer = Slot[];

const ORDER_SWEEPS = 12;
const ALIGN_SWEEPS = 12;

/** Sorts every layer so that connections cross rarely: each slot goes to the middle of those it is connected with. */
export function orderLayers(layers: readonly Layer[]): void {
  const position = new Map<Slot, number>();
  const number = (layer: Layer) => {
    for (const [index, slot] of layer.entries()) position.set(slot, (index + 0.5) / layer.length);
  };
  for (const layer of layers) number(layer);
  for (let sweep = 0; sweep < ORDER_SWEEPS; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers : [...layers].reverse()) {
      const wanted = new Map(
        layer.map((slot) => {
          const neighbours = isDown ? slot.above : slot.below;
          return [
            slot,
            average(neighbours.map((each) => position.get(each) ?? 0)) ?? position.get(slot) ?? 0,
          ];
        }),
      );
      layer.sort((left, right) => (wanted.get(left) ?? 0) - (wanted.get(right) ?? 0));
      number(layer);
    }
  }
}

/** Gives every slot its `x`, near those it is connected with and at least `gap` from its neighbours. */
export function alignLayers(layers: readonly Layer[], gap: number): void {
  for (const layer of layers) {
    let x = 0;
    for (const slot of layer) {
      slot.x = x + slot.width / 2;
      x += slot.width + gap;
    }
    for (const slot of layer) slot.x -= x / 2;
  }
  for (let sweep = 0; sweep < ALIGN_SWEEPS; sweep += 1) {
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      const wanted = layer.map((slot) => average([...slot.above, ...slot.below].map(({ x }) => x)) ?? slot.x);
      spread(layer, wanted, gap);
    }
  }
}

/**
 * Moves the slots as little as possible from where they want to be, in their order and without overlap: groups that
 * touch move together, to the mean of what their members want.
 */
function spread(layer: Layer, wanted: readonly number[], gap: number): void {
  interface Group {
    sum: number;
    count: number;
  }
  const offsets: number[] = [];
  const groups: Group[] = [];
  for (const [index, slot] of layer.entries()) {
    const previous = layer[index - 1];
    const distance = previous === undefined ? 0 : (previous.width + slot.width) / 2 + gap;
    const offset = (offsets[index - 1] ?? 0) + distance;
    offsets.push(offset);
    let group: Group = { sum: (wanted[index] ?? 0) - offset, count: 1 };
    for (let last = groups.at(-1); last !== undefined && last.sum / last.count > group.sum / group.count; ) {
      group = { sum: last.sum + group.sum, count: last.count + group.count };
      groups.pop();
      last = groups.at(-1);
    }
    groups.push(group);
  }
  let index = 0;
  for (const { sum, count } of groups) {
    for (let member = 0; member < count; member += 1, index += 1) {
      const slot = layer[index];
      if (slot !== undefined) slot.x = sum / count + (offsets[index] ?? 0);
    }
  }
}

function average(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
