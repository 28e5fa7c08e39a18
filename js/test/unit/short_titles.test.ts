import { describe, expect, it } from "vitest";
import { commonPrefix, sharedLength, shortTitle } from "../../src/store/short_titles";

const CHAPTERS = ["Summarise the chapter of the report about prices", "Summarise the chapter of the report about demand"];

describe("titles that start alike", () => {
  it("are cut where they are the same, at a word", () => {
    const shared = sharedLength(CHAPTERS);

    expect(CHAPTERS.map((title) => shortTitle(title, shared))).toEqual(["Summarise the … prices", "Summarise the … demand"]);
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
    expect(shortTitle("A short one", 0)).toBe("A short one");
  });

  it("stay whole when one is all that the others begin with", () => {
    const titles = ["Summarise the chapter of the report", "Summarise the chapter of the report again"];

    expect(titles.map((title) => shortTitle(title, sharedLength(titles)))[1]).toContain("again");
    expect(titles.map((title) => shortTitle(title, sharedLength(titles)))[0]).toContain("report");
  });
});
