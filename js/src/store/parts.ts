/**
 * Parts of the widget that most runs never need: the kernel sends each when it is first wanted, as a module of its own.
 */
import { signal, type Signal } from "@preact/signals-core";
import type { BrowserMessage, PartReply } from "../protocol/messages";
import { inflateText } from "../protocol/snapshot";
import type { Typesetter } from "../ui/formulas";

export interface PartModules {
  readonly formulas: { readonly typeset: Typesetter };
}

export type PartName = keyof PartModules;

export interface PartPorts {
  send(message: BrowserMessage): boolean;
  nextRequest(): number;
}

/** A module can be imported from its text in the way in which anywidget imports the widget itself. */
export const moduleLoader = {
  async load(text: string): Promise<unknown> {
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    try {
      return await import(address);
    } finally {
      URL.revokeObjectURL(address);
    }
  },
};

export class Parts {
  readonly #modules = new Map<PartName, Signal<unknown>>();
  readonly #requested = new Set<PartName>();
  readonly #ports: PartPorts;

  constructor(ports: PartPorts) {
    this.#ports = ports;
  }

  /** The part, or null until it is there. */
  read<Name extends PartName>(name: Name): PartModules[Name] | null {
    return this.#module(name).value as PartModules[Name] | null;
  }

  /** Asks for a part once; a kernel that is gone, or older, leaves what needs it as it is. */
  request(name: PartName): void {
    if (this.#requested.has(name)) return;
    this.#requested.add(name);
    if (!this.#ports.send({ t: "part", req: this.#ports.nextRequest(), name })) this.#requested.delete(name);
  }

  async receive({ name }: PartReply, bytes: ArrayBufferView | undefined): Promise<void> {
    if (!bytes || !this.#requested.has(name as PartName)) return;
    try {
      this.#module(name as PartName).value = await moduleLoader.load(await inflateText(bytes));
    } catch (error) {
      console.warn(`rlm_notebook: a part of the widget (${name}) could not be loaded`, error);
    }
  }

  #module(name: PartName): Signal<unknown> {
    let module = this.#modules.get(name);
    if (!module) this.#modules.set(name, (module = signal(null)));
    return module;
  }
}
