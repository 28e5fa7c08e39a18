import { describe, expect, it } from "vitest";
import { keyAction, type KeyContext } from "../../src/ui/keyboard";

const context: KeyContext = {
  index: 5,
  count: 20,
  pageSize: 10,
  hasChildren: true,
  isOpen: true,
  parentIndex: 2,
  previousFailure: -1,
  nextFailure: 9,
};
const press = (key: string, changes: Partial<KeyContext> = {}) => keyAction(key, { ...context, ...changes });
const move = (index: number) => ({ type: "move", index });

describe("keys in the tree", () => {
  it.each([
    ["ArrowUp", {}, move(4)],
    ["ArrowUp", { index: 0 }, move(0)],
    ["ArrowDown", {}, move(6)],
    ["ArrowDown", { index: 19 }, move(19)],
    ["PageUp", {}, move(0)],
    ["PageDown", {}, move(15)],
    ["Home", {}, move(0)],
    ["End", {}, move(19)],
    ["ArrowRight", {}, move(6)],
    ["ArrowRight", { isOpen: false }, { type: "unfold" }],
    ["ArrowRight", { hasChildren: false }, null],
    ["ArrowLeft", {}, { type: "fold" }],
    ["ArrowLeft", { isOpen: false }, move(2)],
    ["ArrowLeft", { hasChildren: false }, move(2)],
    ["ArrowLeft", { hasChildren: false, parentIndex: -1 }, null],
    ["[", {}, null],
    ["]", {}, move(9)],
    ["*", {}, { type: "unfoldSiblings" }],
    ["Enter", {}, { type: "open" }],
    ["/", {}, { type: "search" }],
    ["c", {}, { type: "criticalPath" }],
    ["Escape", {}, { type: "escape" }],
  ])("%s with %o", (key, changes, expected) => expect(press(key, changes)).toEqual(expected));

  it("do nothing without rows", () => {
    expect(press("ArrowDown", { index: -1, count: 0 })).toBeNull();
    expect(press("End", { index: -1, count: 0 })).toBeNull();
  });

  it.each(["d", "x", "Delete", "Backspace", "constructor", "toString"])("leave %s alone", (key) => {
    expect(press(key)).toBeNull();
  });
});
