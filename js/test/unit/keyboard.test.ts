import { describe, expect, it } from "vitest";
import { keyAction, TypeAhead, typeAheadIndex, type KeyContext } from "../../src/ui/keyboard";

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
    [" ", {}, { type: "open" }],
    ["?", {}, { type: "help" }],
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

describe("typing", () => {
  const titles = ["Market", "Map the policy", "Make a plan", "c", "Über", "Ma 2"];
  const find = (typed: string, active: number) => typeAheadIndex(titles.length, active, typed, (index) => titles[index] ?? "");

  it("goes to the next row that begins so, and around", () => {
    expect(find("m", 0)).toBe(1);
    expect(find("m", 5)).toBe(0);
    expect(find("map", 1)).toBe(1);
    expect(find("mak", 1)).toBe(2);
    expect(find("ü", 0)).toBe(4);
    expect(find("x", 0)).toBe(-1);
    expect(typeAheadIndex(0, -1, "m", () => "")).toBe(-1);
  });

  it("puts letters together that follow each other", () => {
    const typing = new TypeAhead();

    expect(typing.add("m", 0)).toBe("m");
    expect(typing.add("a", 300)).toBe("ma");
    expect(typing.add(" ", 600)).toBe("ma ");
    expect(typing.add("c", 900)).toBe("ma c");
    expect(typing.add("M", 5000)).toBe("M");
  });

  it("begins with no key that means something, and not with a key that has no character", () => {
    for (const key of ["c", "/", "[", "]", "*", "?", " ", "ArrowDown", "Enter", "Delete", "F5"]) {
      expect(new TypeAhead().add(key, 0)).toBeNull();
    }
    expect(new TypeAhead().add("d", 0)).toBe("d");
  });
});
