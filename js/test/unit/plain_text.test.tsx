import { render } from "preact";
import { describe, expect, it } from "vitest";
import { hasEndlessWord, pieces, PlainText, PORTION, wrapOf } from "../../src/ui/plain_text";

describe("plain text", () => {
  it.each([
    ["", [""]],
    ["short", ["short"]],
    ["two\nlines", ["two\nlines"]],
  ])("%j is one piece", (text, expected) => expect(pieces(text)).toEqual(expected));

  it("is cut at the ends of lines, and nothing is lost", () => {
    const text = Array.from({ length: 500 }, (_, index) => `line ${index}`).join("\n");

    expect(pieces(text).length).toBeGreaterThan(1);
    expect(pieces(text).join("\n")).toBe(text);
  });

  it("is cut anywhere where a line is endless, and nothing is lost", () => {
    const text = "A".repeat(1_000_000);

    expect(pieces(text).join("")).toBe(text);
    expect(Math.max(...pieces(text).map(({ length }) => length))).toBeLessThanOrEqual(2000);
  });

  it("keeps empty lines between and at the end", () => {
    const text = `${"a".repeat(1990)}\n\n\n${"b".repeat(1990)}\n`;

    expect(pieces(text).join("\n")).toBe(text);
  });

  it("is shown whole", () => {
    const element = document.createElement("div");
    render(<PlainText text={"B".repeat(5000)} />, element);

    expect(element.textContent).toBe("B".repeat(5000));
    expect(element.querySelectorAll(".rn-piece")).toHaveLength(3);
  });

  it("is shown in portions where it is very long", async () => {
    const element = document.createElement("div");
    const text = "a line\n".repeat(30_000);
    render(<PlainText text={text} />, element);
    const shown = () => [...element.querySelectorAll(".rn-piece")].map((piece) => piece.textContent).join("\n");

    expect(shown()).toBe(text.slice(0, PORTION));
    expect(element.querySelector("button")?.textContent).toBe("Show more (110,000 characters are left)");
    for (let button = element.querySelector("button"); button; button = element.querySelector("button")) {
      button.click();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(shown()).toBe(text);
  });

  it("knows words without an end", () => {
    expect(hasEndlessWord("a b ".repeat(10_000))).toBe(false);
    expect(hasEndlessWord(`a ${"b".repeat(3000)} c`)).toBe(true);
    expect(hasEndlessWord("b".repeat(3000))).toBe(true);
    expect(wrapOf("b".repeat(3000))).toBe("off");
  });
});
