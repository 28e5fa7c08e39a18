import { describe, expect, it } from "vitest";
import { commonPrefix, sharedLength, titleParts } from "../../src/store/short_titles";

const CHAPTERS = ["Summarise the chapter of the report about prices", "Summarise the chapter of the report about demand"];

describe("titles that start alike", () => {
  it("are cut where they are the same, at a word, and whole where there is room", () => {
    const parts = CHAPTERS.map((title) => titleParts(title, sharedLength(CHAPTERS)) ?? []);

    expect(parts.map(([start, , rest]) => [start, rest])).toEqual([["Summarise the", "prices"], ["Summarise the", "demand"]]);
    expect(parts.map((each) => each.join(""))).toEqual(CHAPTERS);
  });

  it("share whole words only", () => {
    expect(commonPrefix(["Collect figures 2024", "Collect figures 2025"])).toBe("Collect figures ");
    expect(commonPrefix(["one", "two"])).toBe("");
    expect(commonPrefix([])).toBe("");
  });

  it("stay as they are when little is the same, or nothing is to be compared", () => {
    expect(sharedLength(["Collect figures 2024", "Collect figures 2025"])).toBe(0);
    expect(sharedLength(["A title that is long enough but all alone here"])).toBe(0);
    expect(sharedLength(Array(3).fill("The same long title for all of the three"))).toBe(0);
    expect(titleParts("A short one", 0)).toBeNull();
  });

  it("stay whole when one is all that the others begin with", () => {
    const titles = ["Summarise the chapter of the report", "Summarise the chapter of the report again"];

    const ends = titles.map((title) => titleParts(title, sharedLength(titles))?.[2] ?? title);
    expect(ends[1]).toContain("again");
    expect(ends[0]).toContain("report");
  });
});
