import type { CascadeSource } from '../cascade/streams.ts'
import type { IndexDefinition, StreamDefinition } from '../indexed.ts'
import { captureModes, type CaptureMode } from './modes.ts'

/** Who captures the changes of each stream. */
export type CaptureModes = ReadonlyMap<StreamDefinition, CaptureMode>

/**
 * The mode of each stream: what its index declares, else the setting `capture`. A table that documents of another index
 * embed is captured by whichever of their modes sees most, or that index would miss what its own mode promises.
 */
export function captureModesOf(
  indexes: readonly IndexDefinition[],
  cascade: readonly CascadeSource[],
  byDefault: CaptureMode,
): CaptureModes {
  const declared = ({ options }: IndexDefinition): CaptureMode => options.capture ?? byDefault
  const modes = new Map<StreamDefinition, CaptureMode>(indexes.map((index) => [index, declared(index)]))
  for (const { definition, paths } of cascade) {
    const wanted = paths.map(({ owner }) => declared(owner))
    modes.set(definition, seesMost([...wanted, modes.get(definition) ?? 'subscriber']))
  }
  return modes
}

/** The definitions that one of these modes captures. */
export function capturedBy(modes: CaptureModes, wanted: readonly CaptureMode[]): StreamDefinition[] {
  return [...modes].filter(([, mode]) => wanted.includes(mode)).map(([definition]) => definition)
}

function seesMost(modes: readonly CaptureMode[]): CaptureMode {
  return captureModes.findLast((mode) => modes.includes(mode)) ?? 'subscriber'
}
