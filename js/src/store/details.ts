/**
 * The long fields of nodes (output, prompt, ...), fetched when they are looked at.
 */
import { signal, type Signal } from "@preact/signals-core";
import type { BrowserMessage, DetailField, DetailReply, TreeNode } from "../protocol/messages";

/** Milliseconds after which a kernel that does not answer is taken to be gone. */
export const REPLY_PATIENCE = 4000;

export interface Detail {
  readonly status: "loading" | "ready" | "unavailable";
  readonly data: unknown;
}

interface Entry {
  readonly value: Signal<Detail>;
  /** The state of the node at the request; in another state the answer is stale. */
  state: string;
  request: number;
}

export interface DetailPorts {
  send(message: BrowserMessage): void;
  schedule(delay: number, action: () => void): void;
  nextRequest(): number;
}

/** Changes when the long fields of a node may have changed: a round of tools ends with a phase, a cell by itself. */
export const versionOf = (node: TreeNode): string =>
  `${node.state} ${node.attempts} ${node.mark} ${node.phases.length} ${node.awaiting} ${node.cells}`;

const LOADING: Detail = { status: "loading", data: null };
const UNAVAILABLE: Detail = { status: "unavailable", data: null };

export class DetailCache {
  readonly #entries = new Map<string, Entry>();
  readonly #ports: DetailPorts;

  constructor(ports: DetailPorts) {
    this.#ports = ports;
  }

  read(id: string, field: DetailField): Detail {
    return this.#entry(id, field).value.value;
  }

  /** Requests the fields that were never fetched, or were fetched in another state of the node. */
  request(node: TreeNode, fields: readonly DetailField[]): void {
    const state = versionOf(node);
    const stale = fields.filter((field) => this.#entry(node.id, field).state !== state);
    if (stale.length === 0) return;
    const request = this.#ports.nextRequest();
    for (const field of stale) Object.assign(this.#entry(node.id, field), { state, request });
    this.#ports.send({ t: "get", req: request, id: node.id, fields: stale });
    this.#ports.schedule(REPLY_PATIENCE, () => this.#giveUp(node.id, stale, request));
  }

  receive(reply: DetailReply): void {
    const entry = this.#entry(reply.id, reply.field);
    if (reply.req >= entry.request) entry.value.value = { status: "ready", data: reply.data };
  }

  /** After a restart of the run nothing that was fetched needs to be true. */
  clear(): void {
    this.#entries.clear();
  }

  #giveUp(id: string, fields: readonly DetailField[], request: number): void {
    for (const field of fields) {
      const entry = this.#entry(id, field);
      if (entry.request !== request || entry.value.value.status !== "loading") continue;
      entry.value.value = UNAVAILABLE;
      entry.state = "";
    }
  }

  #entry(id: string, field: DetailField): Entry {
    const key = `${field} ${id}`;
    let entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, (entry = { value: signal(LOADING), state: "", request: 0 }));
    return entry;
  }
}
