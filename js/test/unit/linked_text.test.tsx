import { expect, it } from "vitest";
import { linkedText, PLAIN_SETTING } from "../../src/ui/linked_text";

const links = (text: string): number => {
  let asked = 0;
  linkedText(text, { ...PLAIN_SETTING, title: () => (asked++, undefined) });
  return asked;
};

it("takes no index of code for a reference to the root", () => {
  expect(["see [0]", "[0]: done", "as in [0.1], x[0.2]"].map(links)).toEqual([1, 1, 2]);
  expect(["print(answers[0])", "rows[1][0]", "split()[0]"].map(links)).toEqual([0, 0, 0]);
});
