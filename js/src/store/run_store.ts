/**
 * One run as all views of one widget share it: the folded state, its indexes, and the way back to
 * the kernel. It draws nothing.
 */
import { ProtocolClient } from "../protocol/client";
import {
  parseMessage,
  type BrowserMessage,
  type FoundReply,
  type KernelMessage,
  type PackedFrame,
  type Run,
} from "../protocol/messages";
import { inflateFrame, inflateSnapshot } from "../protocol/snapshot";
import { Commands } from "./commands";
import { DetailCache } from "./details";
import { Parts } from "./parts";
import type { SearchPorts } from "./search";
import type { Mode } from "./view";
import { Tree } from "./tree";

export interface StorePorts {
  /** False when the kernel cannot be reached. */
  send(message: BrowserMessage): boolean;
  now(): number;
  schedule(delay: number, action: () => void): void;
}

export class RunStore {
  readonly client: ProtocolClient;
  readonly tree: Tree;
  readonly details: DetailCache;
  readonly commands: Commands;
  readonly parts: Parts;
  /** For the searches of the views, each of which has its own. */
  readonly searchPorts: SearchPorts;
  /** What a view shows at first, and stays unfolded for: the tree, or the comparison with another run. */
  opens: Mode | undefined;
  readonly #searches = new Map<number, (reply: FoundReply) => void>();
  readonly #ports: StorePorts;
  readonly #listeners = new Set<() => void>();
  readonly #subscriptions = new Map<object, readonly string[]>();
  /** Distinguishes this page from others that show the same run. */
  readonly #name = Math.random().toString(36).slice(2);
  #epoch = -1;
  #requests = 0;

  constructor(ports: StorePorts) {
    this.#ports = ports;
    this.client = new ProtocolClient({
      ...ports,
      nodeChanged: (before, after) => this.tree.update(before, after),
      replaced: () => this.#replaced(),
      changed: () => this.#notify(),
    });
    this.tree = new Tree(this.client.state.nodes);
    const nextRequest = (): number => (this.#requests += 1);
    const send = (message: BrowserMessage): boolean => this.#send(message);
    this.details = new DetailCache({ ...ports, send, nextRequest });
    this.commands = new Commands({ ...ports, send, nextRequest });
    this.parts = new Parts({ ...ports, send, nextRequest });
    const find: SearchPorts["find"] = (words, receive) => {
      const req = nextRequest();
      this.#searches.set(req, receive);
      return send({ t: "find", req, words });
    };
    this.searchPorts = { ...ports, find };
  }

  get run(): Run {
    return this.client.state.run;
  }

  /** The fields of a run before its first snapshot. */
  introduce(run: Partial<Run>): void {
    if (!this.client.hasState) this.client.state.run = { ...this.run, ...run };
    this.#notify();
  }

  get clock(): number {
    return this.client.runClock();
  }

  streamedText(id: string): string {
    return this.client.state.texts.get(id) ?? "";
  }

  /** Calls `listener` after each change; returns what ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  receive(content: unknown, buffers: readonly ArrayBufferView[] = []): void {
    const message = parseMessage(content);
    if (message) this.#dispatch(message, buffers);
  }

  /** Decompresses a snapshot; one that cannot be read is requested again with the next frame. */
  async receiveSnapshot(bytes: ArrayBufferView | undefined): Promise<void> {
    if (!bytes || bytes.byteLength === 0) return;
    const finish = this.client.expectSnapshot();
    const snapshot = await inflateSnapshot(bytes).catch((error: unknown) => {
      console.warn("rlm_notebook: a snapshot of the run could not be read", error);
      return null;
    });
    finish(snapshot);
  }

  /** Streams the full text of these nodes to `view`, instead of its previous ones. */
  subscribe(view: object, ids: readonly string[]): void {
    const before = this.#subscribedIds();
    if (ids.length > 0) this.#subscriptions.set(view, ids);
    else this.#subscriptions.delete(view);
    const after = this.#subscribedIds();
    if (before.join() !== after.join()) this.#sendSubscriptions(after);
  }

  #dispatch(message: KernelMessage, buffers: readonly ArrayBufferView[]): void {
    switch (message.t) {
      case "p":
        return "z" in message ? void this.#receivePacked(message) : this.client.frame(message);
      case "h":
        return this.client.heartbeat(message);
      case "s":
        return void this.receiveSnapshot(buffers[0]);
      case "d":
        return this.#isOurs(message) ? this.details.receive(message) : undefined;
      case "ack":
        return this.#isOurs(message) ? this.commands.receive(message) : undefined;
      case "part":
        return this.#isOurs(message) ? void this.parts.receive(message, buffers[0]) : undefined;
      case "found":
        return this.#isOurs(message) ? this.#receiveFound(message) : undefined;
    }
  }

  #receiveFound(reply: FoundReply): void {
    this.#searches.get(reply.req)?.(reply);
    if (reply.done) this.#searches.delete(reply.req);
  }

  async #receivePacked(packed: PackedFrame): Promise<void> {
    const finish = this.client.expectFrame(packed);
    finish(await inflateFrame(packed).catch(() => null));
  }

  #send(message: BrowserMessage): boolean {
    return this.#ports.send({ ...message, c: this.#name });
  }

  /** Another page's answer may have the number of a question of ours. */
  #isOurs({ c = this.#name }: { readonly c?: string }): boolean {
    return c === this.#name;
  }

  /** Text that streamed while frames were lost is only sent again after a new subscription. */
  #replaced(): void {
    this.tree.rebuild();
    if (this.client.position.e !== this.#epoch) {
      this.details.clear();
      this.commands.clear();
    }
    this.#epoch = this.client.position.e;
    const subscribed = this.#subscribedIds();
    if (subscribed.length > 0) this.#sendSubscriptions(subscribed);
  }

  #subscribedIds(): string[] {
    return [...new Set([...this.#subscriptions.values()].flat())].sort();
  }

  #sendSubscriptions(ids: readonly string[]): void {
    this.#send({ t: "sub", ids });
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
