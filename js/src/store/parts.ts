/**
 * Parts of the widget that most runs never need: the kernel sends each when it is first wanted, as a module of its own.
 */
import { signal, type Signal } from "@preact/signals-core";
import { Component, createContext, Fragment, h, type ComponentChild } from "preact";
import { useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { jsx, jsxs } from "preact/jsx-runtime";
import type { BrowserMessage, PartReply, TreeNode } from "../protocol/messages";
import { inflateText } from "../protocol/snapshot";
import type { Typesetter } from "../ui/formulas";
import { REPLY_PATIENCE } from "./details";
import type { OpenDialog, View } from "./view";

/** The Preact that all parts use: components of another one would have no state here. */
const HOST = { h, Component, createContext, Fragment, jsx, jsxs, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState };

export interface PartModules {
  readonly compare: { readonly Compare: (properties: { view: View }) => ComponentChild };
  readonly dialogs: { readonly CommandDialog: (properties: { view: View; dialog: OpenDialog; node: TreeNode }) => ComponentChild };
  readonly formulas: { readonly typeset: Typesetter };
  readonly quotes: { readonly Quotes: (properties: { view: View; data: unknown }) => ComponentChild };
}

export type PartName = keyof PartModules;

export interface PartPorts {
  send(message: BrowserMessage): boolean;
  nextRequest(): number;
  schedule(delay: number, action: () => void): void;
}

/** A module is imported from its text in the way in which anywidget imports the widget itself. */
export const moduleLoader = {
  async load(text: string): Promise<unknown> {
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    try {
      return ((await import(address)) as { default(host: typeof HOST): unknown }).default(HOST);
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

  /**
   * Asks for a part, unless it is there or on its way. A kernel that is gone, or older, leaves what needs it as it is,
   * and `fail` is called.
   */
  request(name: PartName, fail: () => void = () => undefined): void {
    if (this.#requested.has(name)) return;
    this.#requested.add(name);
    const sent = this.#ports.send({ t: "part", req: this.#ports.nextRequest(), name });
    this.#ports.schedule(sent ? REPLY_PATIENCE : 0, () => {
      if (this.#module(name).peek() !== null) return;
      this.#requested.delete(name);
      fail();
    });
  }

  async receive({ name }: PartReply, bytes: ArrayBufferView | undefined): Promise<void> {
    if (!bytes || this.#module(name as PartName).peek() !== null) return;
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
