import { describe, expect, it } from "vitest";
import { pythonOf } from "../../src/ui/python";

describe("a task as Python", () => {
  it("is code that solves it", () => {
    expect(pythonOf('Say "hello"', "openai:small")).toBe(
      'from rlm_notebook import RecursiveEngine\n\nengine = RecursiveEngine("openai:small")\n' +
        'task = "Say \\"hello\\""\noutput = engine.solve(task)\nprint(output)\n',
    );
  });

  it("keeps lines apart", () => {
    expect(pythonOf("first\nsecond", "")).toContain('task = (\n    "first\\n"\n    "second"\n)');
    expect(pythonOf("first", "")).toContain('RecursiveEngine("offline")');
  });

  it("shows what text can hide, and cannot be broken out of", () => {
    const code = pythonOf('a\u202eb\u200bc\u2028"); import os\\', "offline");

    expect(code).toContain(String.raw`"a\u202eb\u200bc\u2028\"); import os\\"`);
  });
});
