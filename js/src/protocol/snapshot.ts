/**
 * Decodes what comes packed: the snapshot, gzip of JSON with one array per node field, and large frames.
 */
import {
  EMPTY_NODE,
  EMPTY_RUN,
  isRecord,
  type Frame,
  type PackedFrame,
  type Run,
  type Snapshot,
  type TreeNode,
} from "./messages";

const SNAPSHOT_VERSION = 1;

export class SnapshotError extends Error {}

function column(columns: Record<string, unknown>, field: string, length: number): readonly unknown[] | null {
  const values = columns[field];
  return Array.isArray(values) && values.length === length ? values : null;
}

/** Unknown columns are dropped and missing ones get their defaults: both ends may differ in age. */
function nodesFromColumns(columns: Record<string, unknown>): TreeNode[] {
  const ids = columns["id"];
  if (!Array.isArray(ids)) throw new SnapshotError("the snapshot has no column of node ids");
  const fields = Object.entries(EMPTY_NODE).map(
    ([field, initial]) => [field, initial, column(columns, field, ids.length)] as const,
  );
  return ids.map((_, index) => {
    const node: Record<string, unknown> = {};
    for (const [field, initial, values] of fields) node[field] = values ? values[index] : initial;
    return node as unknown as TreeNode;
  });
}

export function decodeSnapshot(value: unknown): Snapshot {
  if (!isRecord(value) || value["v"] !== SNAPSHOT_VERSION) {
    throw new SnapshotError(`this widget reads snapshots of version ${SNAPSHOT_VERSION}`);
  }
  const run = isRecord(value["run"]) ? (value["run"] as Partial<Run>) : {};
  const columns = isRecord(value["nodes"]) ? value["nodes"] : { id: [] };
  return {
    e: Number(value["e"]),
    s: Number(value["s"]),
    n: Number(value["n"]),
    run: { ...EMPTY_RUN, ...run },
    nodes: nodesFromColumns(columns),
  };
}

export async function inflateText(bytes: ArrayBufferView | ArrayBuffer): Promise<string> {
  const packed = new Blob([bytes as BlobPart]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
}

const inflated = async (bytes: ArrayBufferView | ArrayBuffer): Promise<unknown> => JSON.parse(await inflateText(bytes));

export async function inflateSnapshot(bytes: ArrayBufferView | ArrayBuffer): Promise<Snapshot> {
  return decodeSnapshot(await inflated(bytes));
}

export async function inflateFrame({ z, ...frame }: PackedFrame): Promise<Frame> {
  const ops = await inflated(Uint8Array.from(atob(z), (character) => character.charCodeAt(0)));
  if (!Array.isArray(ops)) throw new SnapshotError("the frame holds no operations");
  return { ...frame, ops };
}
