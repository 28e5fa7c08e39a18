import { describe, expect, it } from "vitest";
import { pythonOf } from "../../src/ui/python";

const PLAIN = { engine: "RecursiveEngine('openai:small')", solve: "", note: "" };

describe("a task as Python", () => {
  it("is code that solves it", () => {
    expect(pythonOf('Say "hello"', PLAIN)).toBe(
      'from rlm_notebook import RecursiveEngine\n\nengine = RecursiveEngine(\'openai:small\')\n' +
        'task = "Say \\"hello\\""\noutput = engine.solve(task)\nprint(output)\n',
    );
  });

  it("keeps lines apart", () => {
    expect(pythonOf("first\nsecond", PLAIN)).toContain('task = (\n    "first\\n"\n    "second"\n)');
  });

  it("has the names of the notebook, and awaits where a blocked caller could not approve", () => {
    const code = pythonOf("first", { engine: "AsyncRecursiveEngine(llm, tools=[send])", solve: ", variables={'df': df}", note: "" });

    expect(code).toContain("engine = AsyncRecursiveEngine(llm, tools=[send])\n");
    expect(code).toContain("output = await engine.solve(task, variables={'df': df})\n");
    expect(pythonOf("first", { ...PLAIN, note: "model = ..." })).toContain("model = ...\nengine = ");
  });

  it("shows what text can hide, and cannot be broken out of", () => {
    const code = pythonOf('a\u202eb\u200bc\u2028"); import os\\', PLAIN);

    expect(code).toContain(String.raw`"a\u202eb\u200bc\u2028\"); import os\\"`);
  });
});
